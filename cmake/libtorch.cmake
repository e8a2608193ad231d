# Finds libtorch: target gw::torch, variables GW_TORCH_VERSION and GW_TORCH_ORIGIN.
#   GATEWRIGHT_TORCH = auto (default) | debian | wheel | <prefix of an unpacked libtorch>
# auto takes Debian's package when it is there, else the wheel that python3 can import (docs/decisions/001-libtorch.md).
set(GATEWRIGHT_TORCH "auto" CACHE STRING "auto, debian, wheel, or a prefix with include/ and lib/")
set(GATEWRIGHT_PYTHON "python3" CACHE STRING "interpreter asked for the wheel's place")

function(gw_try_torch origin include_root lib_dir)
  if(GW_TORCH_INCLUDE OR NOT EXISTS "${include_root}/ATen/ATen.h")
    return()
  endif()
  find_library(lib_torch_cpu torch_cpu PATHS "${lib_dir}" NO_DEFAULT_PATH NO_CACHE)
  find_library(lib_torch torch PATHS "${lib_dir}" NO_DEFAULT_PATH NO_CACHE)
  find_library(lib_c10 c10 PATHS "${lib_dir}" NO_DEFAULT_PATH NO_CACHE)
  if(NOT lib_torch_cpu OR NOT lib_c10)
    return()
  endif()
  set(GW_TORCH_INCLUDE "${include_root}" PARENT_SCOPE)
  set(GW_TORCH_LIBS "${lib_torch};${lib_torch_cpu};${lib_c10}" PARENT_SCOPE)
  set(GW_TORCH_LIBDIR "${lib_dir}" PARENT_SCOPE)
  set(GW_TORCH_ORIGIN "${origin}" PARENT_SCOPE)
endfunction()

if(GATEWRIGHT_TORCH MATCHES "^(auto|debian)$")
  gw_try_torch("debian" "/usr/include" "/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
endif()
if(GATEWRIGHT_TORCH MATCHES "^(auto|wheel)$" AND NOT GW_TORCH_INCLUDE)
  execute_process(COMMAND ${GATEWRIGHT_PYTHON} -c "import torch, os; print(os.path.dirname(torch.__file__))"
                  OUTPUT_VARIABLE wheel OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    gw_try_torch("wheel" "${wheel}/include" "${wheel}/lib")
  endif()
endif()
if(NOT GW_TORCH_INCLUDE)
  foreach(prefix IN LISTS GATEWRIGHT_TORCH CMAKE_PREFIX_PATH)
    gw_try_torch("${prefix}" "${prefix}/include" "${prefix}/lib")
  endforeach()
endif()
if(NOT GW_TORCH_INCLUDE)
  message(FATAL_ERROR "libtorch: none found for GATEWRIGHT_TORCH=${GATEWRIGHT_TORCH}; run tools/install_deps.sh, "
                      "or `pip install torch`, or give -DGATEWRIGHT_TORCH=<prefix of libtorch>")
endif()

foreach(header IN ITEMS "${GW_TORCH_INCLUDE}/torch/csrc/api/include/torch/version.h" "${GW_TORCH_INCLUDE}/torch/version.h"
        "${GW_TORCH_INCLUDE}/torch/headeronly/version.h")  # where 2.13 keeps the macros
  if(EXISTS "${header}" AND NOT GW_TORCH_VERSION)
    file(STRINGS "${header}" lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
    string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" GW_TORCH_VERSION "${lines}")
  endif()
endforeach()
if(GW_TORCH_VERSION VERSION_LESS 1.13)
  message(FATAL_ERROR "libtorch: expected at least 1.13, found ${GW_TORCH_VERSION} in ${GW_TORCH_LIBDIR}")
endif()
message(STATUS "libtorch ${GW_TORCH_VERSION} (${GW_TORCH_ORIGIN}): ${GW_TORCH_LIBDIR}")

add_library(gw_torch INTERFACE)
add_library(gw::torch ALIAS gw_torch)
set_target_properties(gw_torch PROPERTIES EXPORT_NAME torch)
target_include_directories(gw_torch SYSTEM INTERFACE "${GW_TORCH_INCLUDE}/torch/csrc/api/include")
if(NOT GW_TORCH_INCLUDE STREQUAL "/usr/include")
  target_include_directories(gw_torch SYSTEM INTERFACE "${GW_TORCH_INCLUDE}")
  if(EXISTS "${GW_TORCH_INCLUDE}/fmt/format.h")
    # The wheel's headers of fmt hide the system's, whose library has other symbols (v9 and v12 live side by side in inline namespaces).
    target_compile_definitions(gw_torch INTERFACE FMT_HEADER_ONLY)
  endif()
endif()
# Wheels before 2.7 have std::string of the old ABI: without one mangled name of the new, the old one is meant.
if(NOT GW_TORCH_ORIGIN STREQUAL "debian")
  file(STRINGS "${GW_TORCH_LIBDIR}/libc10.so" new_abi REGEX "__cxx11" LIMIT_COUNT 1)
  if(NOT new_abi)
    target_compile_definitions(gw_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=0)
  endif()
endif()
# libtorch.so alone pulls nothing in when linked --as-needed: name the libraries whose symbols are used.
target_link_libraries(gw_torch INTERFACE ${GW_TORCH_LIBS})
# Debian's libtorch multiplies with whatever the alternative libblas.so.3 points at. Of its OpenBLAS the kind that takes its threads
# from OpenMP is named here, before libtorch, and comes first: threads of its own and OpenMP's wait for one another, which makes a
# training step of small matrices 2 to 3 times as long (docs/decisions/024-one-pool-of-threads.md).
if(GW_TORCH_ORIGIN STREQUAL "debian")
  set(openblas "${GW_TORCH_LIBDIR}/openblas-openmp")
  if(EXISTS "${openblas}/libblas.so.3")
    target_link_options(gw_torch INTERFACE "-Wl,--push-state,--no-as-needed,${openblas}/libblas.so.3,--pop-state" "-Wl,-rpath,${openblas}")
  else()
    message(STATUS "OpenBLAS: none with OpenMP's threads in ${openblas}; `apt-get install libopenblas0-openmp` makes training faster")
  endif()
endif()
# at::parallel_for is a template that runs serially, without a word, in a file compiled without -fopenmp.
find_package(OpenMP REQUIRED COMPONENTS CXX)
# One runtime per process: wheels bring theirs, some under a name of its own, and a second one has a second pool of threads.
file(GLOB bundled_gomp "${GW_TORCH_LIBDIR}/libgomp*.so*" "${GW_TORCH_LIBDIR}/../../torch.libs/libgomp*.so*")
if(bundled_gomp AND NOT GW_TORCH_ORIGIN STREQUAL "debian")
  list(GET bundled_gomp 0 bundled_gomp)
  target_compile_options(gw_torch INTERFACE ${OpenMP_CXX_FLAGS})
  target_link_libraries(gw_torch INTERFACE "${bundled_gomp}")
else()
  target_link_libraries(gw_torch INTERFACE OpenMP::OpenMP_CXX)
endif()
if(NOT GW_TORCH_ORIGIN STREQUAL "debian" AND NOT GATEWRIGHT_PYTHON_PACKAGE)
  target_link_options(gw_torch INTERFACE "-Wl,-rpath,${GW_TORCH_LIBDIR}")
endif()
