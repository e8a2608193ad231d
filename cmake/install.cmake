# The install tree: the program, the shared library, the headers by floor, and a package for find_package(gatewright).
# Consumers write the repository's paths: #include "gatewright/mixture/mixture.h".
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(gw_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/gatewright")
set(gw_header_dir "${CMAKE_INSTALL_INCLUDEDIR}")

target_compile_features(gatewright PUBLIC cxx_std_20)
target_include_directories(gatewright INTERFACE "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>" "$<INSTALL_INTERFACE:${gw_header_dir}>")
install(TARGETS gatewright EXPORT gatewright_targets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
if(TARGET gatewright_cli)
  file(RELATIVE_PATH bin_to_lib "/${CMAKE_INSTALL_BINDIR}" "/${CMAKE_INSTALL_LIBDIR}")
  set_target_properties(gatewright_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
  install(TARGETS gatewright_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

foreach(floor IN LISTS GW_FLOORS)
  if(NOT floor STREQUAL "kernels")  # kernels' headers are for ops alone
    install(DIRECTORY "${CMAKE_SOURCE_DIR}/gatewright/${floor}" DESTINATION "${gw_header_dir}/gatewright" FILES_MATCHING PATTERN "*.h"
            PATTERN "ops/thread_pool.h" EXCLUDE PATTERN "ops/moe_ffn_call.h" EXCLUDE PATTERN "ops/held_call.h" EXCLUDE PATTERN "ops/moe_ffn_problem.h" EXCLUDE PATTERN "ops/coded_call.h" EXCLUDE PATTERN "ops/plane_steps.h" EXCLUDE PATTERN "ops/plane_layout.h" EXCLUDE  # between ops and kernels, whose headers stay here
            PATTERN "base/check.h" EXCLUDE PATTERN "runs/document_reader.h" EXCLUDE)  # for source files: they bring fmt
  endif()
endforeach()
if(EXISTS "${CMAKE_SOURCE_DIR}/recipes")
  install(DIRECTORY "${CMAKE_SOURCE_DIR}/recipes" DESTINATION "${CMAKE_INSTALL_DATADIR}/gatewright" FILES_MATCHING PATTERN "*.toml")
endif()
install(DIRECTORY "${CMAKE_SOURCE_DIR}/examples/data" DESTINATION "${CMAKE_INSTALL_DATADIR}/gatewright")
install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

install(EXPORT gatewright_targets NAMESPACE gatewright:: DESTINATION "${gw_package_dir}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/gatewrightConfig.cmake.in" "${CMAKE_BINARY_DIR}/gatewrightConfig.cmake"
                              INSTALL_DESTINATION "${gw_package_dir}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/gatewrightConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/gatewrightConfig.cmake" "${CMAKE_BINARY_DIR}/gatewrightConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/libtorch.cmake" DESTINATION "${gw_package_dir}")
