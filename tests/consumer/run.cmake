# Installs into a scratch prefix, builds tests/consumer against it and runs it.
# Variables: BUILD (this build), SOURCE (tests/consumer), SCRATCH, GENERATOR, CXX, TORCH, FLAGS, LAUNCHER
function(must_run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " text)
    message(FATAL_ERROR "failed (${code}): ${text}")
  endif()
endfunction()

file(REMOVE_RECURSE "${SCRATCH}")
must_run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${SCRATCH}/prefix")

file(GLOB_RECURSE package_files "${SCRATCH}/prefix/*.cmake")
if(NOT package_files)
  message(FATAL_ERROR "no CMake package was installed")
endif()
foreach(file IN LISTS package_files)
  file(READ "${file}" text)
  string(FIND "${text}" "${BUILD}" place)
  if(NOT place EQUAL -1)
    message(FATAL_ERROR "${file} holds a path of the build tree")
  endif()
endforeach()

# Moved, so that a path of the prefix baked in at install time is caught as well.
file(RENAME "${SCRATCH}/prefix" "${SCRATCH}/moved")
must_run("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${SCRATCH}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_CXX_FLAGS=${FLAGS}"
         "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_PREFIX_PATH=${SCRATCH}/moved" ${TORCH})
must_run("${CMAKE_COMMAND}" --build "${SCRATCH}/build")
must_run("${SCRATCH}/build/consumer")
must_run("${SCRATCH}/moved/bin/gatewright" --version)
