# Tests of the house itself: the command line, the rules of the tree, the install tree, the documentation.
if(TARGET gatewright_cli)
  add_executable(test_cli cli/test_cli.cpp)
  target_link_libraries(test_cli PRIVATE gw_flags nlohmann_json::nlohmann_json GTest::gtest GTest::gtest_main)
  target_compile_definitions(test_cli PRIVATE GW_CLI="$<TARGET_FILE:gatewright_cli>")
  add_dependencies(test_cli gatewright_cli)
  add_test(NAME cli COMMAND test_cli --gtest_brief=1)
endif()
