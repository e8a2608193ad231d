# The extension gatewright._likelihood: target gatewright_likelihood, for python/CMakeLists.txt to include (docs/decisions/015-likelihood-in-python.md).
# No torch: objects of the floors base, kernels and likelihood, and what these call of ops and data, which is without tensors too.
#   pybind11 is found by CMake, or by asking GATEWRIGHT_PYTHON (default python3) for the package of that name.
if(NOT pybind11_DIR)
  if(NOT GATEWRIGHT_PYTHON)
    set(GATEWRIGHT_PYTHON python3)
  endif()
  execute_process(COMMAND ${GATEWRIGHT_PYTHON} -m pybind11 --cmakedir OUTPUT_VARIABLE pybind11_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 CONFIG REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)

set(gw_likelihood_root "${CMAKE_CURRENT_LIST_DIR}/..")
file(GLOB gw_likelihood_binding CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/csrc/likelihood/*.cpp")
set(gw_likelihood_tensorless ops/em ops/activation_function data/csv data/frame data/gzip data/number_like data/table_cells)
list(TRANSFORM gw_likelihood_tensorless REPLACE "(.+)" "${gw_likelihood_root}/gatewright/\\1.cpp")
pybind11_add_module(gatewright_likelihood MODULE NO_EXTRAS ${gw_likelihood_binding} ${gw_likelihood_tensorless}
                    $<TARGET_OBJECTS:gw_base> $<TARGET_OBJECTS:gw_kernels> $<TARGET_OBJECTS:gw_likelihood>)
target_include_directories(gatewright_likelihood PRIVATE "${gw_likelihood_root}")
target_link_libraries(gatewright_likelihood PRIVATE gw_flags ${GW_FMT} nlohmann_json::nlohmann_json ZLIB::ZLIB Threads::Threads OpenMP::OpenMP_CXX)
# Only the module's entry is seen from outside: the torch extension brings the same floors, and each has to call its own.
set_target_properties(gatewright_likelihood PROPERTIES OUTPUT_NAME _likelihood LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/likelihood.map")
target_link_options(gatewright_likelihood PRIVATE "-Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/likelihood.map" -Wl,--gc-sections)
install(TARGETS gatewright_likelihood LIBRARY DESTINATION . COMPONENT python)
