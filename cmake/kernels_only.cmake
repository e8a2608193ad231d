# The floors base and kernels with their tests, for a processor whose libtorch is not here: by its cross compiler, under
# an emulator. Headers of fmt and nlohmann_json alone are needed, and GoogleTest's sources.
find_package(Threads REQUIRED)
set(GW_GTEST_SOURCES /usr/src/googletest/googletest CACHE PATH "GoogleTest's sources (Debian: googletest)")
if(NOT EXISTS "${GW_GTEST_SOURCES}/src/gtest-all.cc")
  message(FATAL_ERROR "GATEWRIGHT_KERNELS_ONLY: no GoogleTest sources in ${GW_GTEST_SOURCES}; apt-get install googletest, or set GW_GTEST_SOURCES")
endif()

add_library(gw_flags INTERFACE)
target_compile_options(gw_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter $<$<BOOL:${GATEWRIGHT_WERROR}>:-Werror>)
target_compile_definitions(gw_flags INTERFACE FMT_HEADER_ONLY GW_SOURCE_ROOT="${CMAKE_SOURCE_DIR}/" GW_VERSION="${PROJECT_VERSION}")
target_include_directories(gw_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_link_libraries(gw_flags INTERFACE Threads::Threads)

foreach(floor base kernels)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/gatewright/${floor}/*.cpp")
  add_library(gw_${floor} OBJECT ${sources})
  target_link_libraries(gw_${floor} PUBLIC gw_flags)
endforeach()
include(gatewright/kernels/levels.cmake)

add_library(gw_gtest OBJECT "${GW_GTEST_SOURCES}/src/gtest-all.cc" "${GW_GTEST_SOURCES}/src/gtest_main.cc")
target_include_directories(gw_gtest PRIVATE "${GW_GTEST_SOURCES}" PUBLIC SYSTEM "${GW_GTEST_SOURCES}/include")

file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/kernels/*.cpp")
list(FILTER tests EXCLUDE REGEX "test_cuda_")  # emulated blocks: nothing of them is of a processor
add_executable(test_kernels ${tests} tests/support/forced_levels.cpp $<TARGET_OBJECTS:gw_base> $<TARGET_OBJECTS:gw_kernels>)
target_link_libraries(test_kernels PRIVATE gw_flags gw_gtest)
enable_testing()
add_test(NAME kernels COMMAND test_kernels --gtest_filter=-*Slow* --gtest_brief=1 WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
