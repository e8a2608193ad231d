# Tests of the house itself: the command line, the rules of the tree, the install tree, the documentation.
if(TARGET gatewright_cli)
  add_executable(test_cli cli/test_cli.cpp)
  target_link_libraries(test_cli PRIVATE gw_flags nlohmann_json::nlohmann_json GTest::gtest GTest::gtest_main)
  target_compile_definitions(test_cli PRIVATE GW_CLI="$<TARGET_FILE:gatewright_cli>")
  add_dependencies(test_cli gatewright_cli)
  add_test(NAME cli COMMAND test_cli --gtest_brief=1)
endif()

find_program(GW_PYTHON3 NAMES python3 REQUIRED)
add_test(NAME floors COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_floors.py")
add_test(NAME budgets COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_budgets.py")
add_test(NAME checkers COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tests/house/test_checkers.py")

set(consumer_torch "")
if(NOT GATEWRIGHT_TORCH STREQUAL "auto")
  set(consumer_torch "-DGATEWRIGHT_TORCH=${GATEWRIGHT_TORCH}")
endif()
set(consumer_flags "")
if(GATEWRIGHT_SANITIZE)
  set(consumer_flags "-fsanitize=${GATEWRIGHT_SANITIZE}")
endif()
if(TARGET gatewright_cli)
  add_test(NAME consumer COMMAND "${CMAKE_COMMAND}" "-DBUILD=${CMAKE_BINARY_DIR}" "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/consumer"
    "-DSCRATCH=${CMAKE_BINARY_DIR}/consumer" "-DGENERATOR=${CMAKE_GENERATOR}" "-DCXX=${CMAKE_CXX_COMPILER}" "-DTORCH=${consumer_torch}"
    "-DFLAGS=${consumer_flags}" "-DLAUNCHER=${ccache_program}" -P "${CMAKE_CURRENT_SOURCE_DIR}/consumer/run.cmake")
endif()
