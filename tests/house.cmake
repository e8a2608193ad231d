# Tests of the house itself: the command line, the rules of the tree, the install tree, the documentation.
if(TARGET gatewright_cli)
  file(GLOB cli_tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/cli/*.cpp")
  add_executable(test_cli ${cli_tests})
  target_link_libraries(test_cli PRIVATE gw_cli gw_flags GTest::gtest GTest::gtest_main)
  target_compile_definitions(test_cli PRIVATE GW_CLI="$<TARGET_FILE:gatewright_cli>")
  add_dependencies(test_cli gatewright_cli)
  add_test(NAME cli COMMAND test_cli --gtest_filter=-*Slow* --gtest_brief=1 WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  add_test(NAME cli_slow COMMAND test_cli --gtest_filter=*Slow* --gtest_brief=1 WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" CONFIGURATIONS slow)
  set_tests_properties(cli_slow PROPERTIES LABELS slow)
endif()

find_program(GW_PYTHON3 NAMES python3 REQUIRED)
if(TARGET gatewright_cli)
  add_test(NAME router_docs COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/make_router_docs.py" "$<TARGET_FILE:gatewright_cli>" --check)
  add_test(NAME activation_docs COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/make_activation_docs.py" "$<TARGET_FILE:gatewright_cli>" --check)
endif()
add_test(NAME floors COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_floors.py")
add_test(NAME budgets COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_budgets.py")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT GATEWRIGHT_SANITIZE)
  add_test(NAME baseline COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_baseline.py" "${CMAKE_BINARY_DIR}")
endif()
# Every installed header in a translation unit of its own: minutes the first time, later what changed.
add_test(NAME headers COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tests/house/test_headers.py" "${CMAKE_BINARY_DIR}" CONFIGURATIONS slow)
set_tests_properties(headers PROPERTIES LABELS slow)
add_test(NAME checkers COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tests/house/test_checkers.py")

# The CUDA levels compile, also where they are not built; skipped without nvcc.
add_test(NAME cuda_compiles COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tests/house/test_cuda_objects.py" "${CMAKE_BINARY_DIR}" "${GATEWRIGHT_CUDA_ARCH}" "${GW_NVCC_FOUND}"
  "${GW_CUOBJDUMP}")
set_tests_properties(cuda_compiles PROPERTIES SKIP_RETURN_CODE 77)

# The Python package in the environment that `make python` makes; skipped, with the reason, where there is none.
add_test(NAME python COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/python_env.py" test "${CMAKE_BINARY_DIR}/python-env")
set_tests_properties(python PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1800)  # 160 s on two cores

# The report in a real browser; screenshots at two widths are left in the build folder.
if(TARGET gatewright_cli)
  add_test(NAME browser COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tests/browser/test_report_page.py" "$<TARGET_FILE:gatewright_cli>" "${CMAKE_BINARY_DIR}/browser" CONFIGURATIONS slow)
  set_tests_properties(browser PROPERTIES SKIP_RETURN_CODE 77 LABELS slow)
endif()

set(consumer_torch "")
if(NOT GATEWRIGHT_TORCH STREQUAL "auto")
  set(consumer_torch "-DGATEWRIGHT_TORCH=${GATEWRIGHT_TORCH}")
endif()
if(GATEWRIGHT_PYTHON)  # whose torch: the consumer has to find the same one
  list(APPEND consumer_torch "-DGATEWRIGHT_PYTHON=${GATEWRIGHT_PYTHON}")
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

# The documentation's snippets, each a program that must return 0.
add_test(NAME docs COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_docs.py" check)
file(GLOB_RECURSE documents CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/docs/*.md")
file(GLOB top_documents CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/*.md")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${documents} ${top_documents} "${CMAKE_SOURCE_DIR}/tools/check_docs.py")
execute_process(COMMAND ${GW_PYTHON3} "${CMAKE_SOURCE_DIR}/tools/check_docs.py" extract "${CMAKE_BINARY_DIR}/snippets"
                OUTPUT_VARIABLE programs OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" "|" programs "${programs}")
string(REPLACE ";" "," programs "${programs}")
string(REPLACE "|" ";" programs "${programs}")
foreach(program IN LISTS programs)
  string(REPLACE "," ";" files "${program}")
  list(POP_FRONT files name)
  list(TRANSFORM files PREPEND "${CMAKE_BINARY_DIR}/snippets/${name}/")
  add_executable(snippet_${name} ${files})
  target_link_libraries(snippet_${name} PRIVATE gatewright gw_flags fmt::fmt)
  target_precompile_headers(snippet_${name} REUSE_FROM gw_pch)
  add_test(NAME docs_${name} COMMAND snippet_${name})
  if(name MATCHES "^(language_models|encoder_decoder)$")  # reads a checkpoint of the tree, as from the top of this folder
    set_tests_properties(docs_${name} PROPERTIES WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  endif()
endforeach()
