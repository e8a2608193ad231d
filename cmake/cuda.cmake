# The CUDA kernel levels (docs/cuda.md): library gw_cuda from kernels/**/*.cu, compiled by nvcc for sm_90 with warnings as errors.
# It is built when GATEWRIGHT_CUDA=ON, else only on demand (the test cuda_compiles). CMake's own CUDA language is not used: it wants a toolkit with the
# folders of NVIDIA's installer, and the wheels have others.
#   GATEWRIGHT_NVCC = <path of nvcc>, or empty: looked for in CMAKE_CUDA_COMPILER, CUDACXX, PATH, /usr/local/cuda and where
#   `CUDA=wheel tools/install_deps.sh` puts the wheels
set(GATEWRIGHT_NVCC "" CACHE STRING "nvcc; empty: look for it")
set(GATEWRIGHT_CUDA_ARCH "90" CACHE STRING "compute capability: machine code for it, and PTX for later ones")

file(GLOB cuda_wheels "${CMAKE_SOURCE_DIR}/build-cuda-wheels/nvidia/cu*/bin")
find_program(GW_NVCC_FOUND nvcc PATHS /usr/local/cuda/bin ${cuda_wheels} NO_CACHE)
foreach(candidate IN ITEMS "$ENV{CUDACXX}" "${CMAKE_CUDA_COMPILER}" "${GATEWRIGHT_NVCC}")  # the last one given wins
  if(candidate)
    set(GW_NVCC_FOUND "${candidate}")
  endif()
endforeach()
if(GW_NVCC_FOUND)
  execute_process(COMMAND "${GW_NVCC_FOUND}" --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    message(WARNING "nvcc: ${GW_NVCC_FOUND} does not run; the CUDA levels are left out")
    set(GW_NVCC_FOUND "")
  endif()
  string(REGEX REPLACE ".*release ([0-9.]+).*" "\\1" nvcc_version "${nvcc_version}")
endif()
if(NOT GW_NVCC_FOUND)
  if(GATEWRIGHT_CUDA)
    message(FATAL_ERROR "GATEWRIGHT_CUDA=ON: no nvcc found; run `CUDA=wheel tools/install_deps.sh`, put nvcc on PATH, give -DGATEWRIGHT_NVCC=<path>, "
                        "or configure without it (preset release)")
  endif()
  return()
endif()

get_filename_component(nvcc_bin "${GW_NVCC_FOUND}" REALPATH)
get_filename_component(nvcc_bin "${nvcc_bin}" DIRECTORY)
find_library(GW_CUDART cudart_static HINTS "${nvcc_bin}/../lib64" "${nvcc_bin}/../lib" "${nvcc_bin}/../targets/x86_64-linux/lib" NO_CACHE)
if(NOT GW_CUDART)
  message(FATAL_ERROR "nvcc ${nvcc_version}: expected libcudart_static.a beside ${nvcc_bin}, found none; install the runtime (wheel nvidia-cuda-runtime)")
endif()

# -fmad=false: only what says fused is fused, so that f32 has the bits of the CPU's levels.
set(cuda_flags -std=c++20 -O2 -fmad=false "-gencode=arch=compute_${GATEWRIGHT_CUDA_ARCH},code=[sm_${GATEWRIGHT_CUDA_ARCH},compute_${GATEWRIGHT_CUDA_ARCH}]"
    -Werror all-warnings "-Xcompiler=-fPIC,-Wall,-Wextra,-Wno-unused-parameter,-Werror" -ccbin "${CMAKE_CXX_COMPILER}" "-I${CMAKE_SOURCE_DIR}")
set(cuda_objects "")
file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/kernels/*.cu")
foreach(source IN LISTS cuda_sources)
  file(RELATIVE_PATH name "${CMAKE_SOURCE_DIR}" "${source}")
  set(object "${CMAKE_BINARY_DIR}/cuda/${name}.o")
  get_filename_component(folder "${object}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(OUTPUT "${object}" COMMAND "${GW_NVCC_FOUND}" ${cuda_flags} -MD -MF "${object}.d" -c "${source}" -o "${object}"
                     DEPENDS "${source}" DEPFILE "${object}.d" COMMENT "Compiling ${name} with nvcc ${nvcc_version}" VERBATIM)
  list(APPEND cuda_objects "${object}")
endforeach()
add_library(gw_cuda STATIC EXCLUDE_FROM_ALL ${cuda_objects})
set_target_properties(gw_cuda PROPERTIES LINKER_LANGUAGE CXX ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/cuda")
find_package(Threads REQUIRED)
target_link_libraries(gw_cuda INTERFACE "${GW_CUDART}" Threads::Threads ${CMAKE_DL_LIBS} rt)
if(GATEWRIGHT_CUDA)
  target_link_libraries(gw_flags INTERFACE gw_cuda)
  target_compile_definitions(gw_flags INTERFACE GW_CUDA)
endif()
message(STATUS "nvcc ${nvcc_version}: ${GW_NVCC_FOUND} (CUDA levels: GATEWRIGHT_CUDA=${GATEWRIGHT_CUDA})")
