# The CUDA kernel levels (docs/cuda.md): library gw_cuda from gatewright/kernels/**/*.cu, compiled by nvcc for sm_90 with warnings as errors.
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
# Why there is none, or empty. Not an error where nobody asked for CUDA.
set(why "none found")
if(GW_NVCC_FOUND)
  # Where the toolkit lies only nvcc knows: what PATH has may be a script that calls it.
  execute_process(COMMAND "${GW_NVCC_FOUND}" --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
  execute_process(COMMAND "${GW_NVCC_FOUND}" --dryrun -x cu /dev/null -c -o /dev/null ERROR_VARIABLE dryrun OUTPUT_QUIET)
  string(REGEX MATCH "release ([0-9.]+)" found "${nvcc_version}")
  set(nvcc_version "${CMAKE_MATCH_1}")
  string(REGEX MATCH "TOP=([^\n]*)" found "${dryrun}")
  get_filename_component(GW_CUDA_ROOT "${CMAKE_MATCH_1}" ABSOLUTE)
  find_library(GW_CUDART cudart_static HINTS "${GW_CUDA_ROOT}/lib64" "${GW_CUDA_ROOT}/lib" "${GW_CUDA_ROOT}/targets/x86_64-linux/lib" NO_CACHE)
  find_program(GW_CUOBJDUMP cuobjdump PATHS "${GW_CUDA_ROOT}/bin" ${cuda_wheels} NO_CACHE)
  set(why "")
  if(NOT nvcc_version OR nvcc_version VERSION_LESS 12.0)  # the first one that knows C++20
    set(why "${GW_NVCC_FOUND} says release \"${nvcc_version}\", 12.0 is needed")
  elseif(NOT GW_CUDART)
    set(why "no libcudart_static.a under ${GW_CUDA_ROOT} (wheel nvidia-cuda-runtime)")
  endif()
endif()
if(why)
  if(GATEWRIGHT_CUDA)
    message(FATAL_ERROR "GATEWRIGHT_CUDA=ON: expected nvcc, got: ${why}; run `CUDA=wheel tools/install_deps.sh`, put nvcc on PATH, "
                        "give -DGATEWRIGHT_NVCC=<path>, or configure without it (preset release)")
  endif()
  set(GW_NVCC_FOUND "")
  message(STATUS "nvcc: ${why}; the CUDA levels are not compiled")
  return()
endif()

# -fmad=false: only what says fused is fused, so that f32 has the bits of the CPU's levels. A kernel that spills registers is an error.
set(cuda_flags -std=c++20 -O2 -fmad=false "-gencode=arch=compute_${GATEWRIGHT_CUDA_ARCH},code=[sm_${GATEWRIGHT_CUDA_ARCH},compute_${GATEWRIGHT_CUDA_ARCH}]"
    -Werror all-warnings "-Xptxas=--warn-on-spills,--warn-on-local-memory-usage,--warning-as-error"
    "-Xcompiler=-fPIC,-Wall,-Wextra,-Wno-unused-parameter,-Werror" -ccbin "${CMAKE_CXX_COMPILER}" "-I${CMAKE_SOURCE_DIR}")
set(cuda_objects "")
file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/gatewright/kernels/*.cu")
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
  set_source_files_properties(gatewright/kernels/cuda/level.cpp PROPERTIES COMPILE_DEFINITIONS GW_CUDA)
endif()
message(STATUS "nvcc ${nvcc_version}: ${GW_NVCC_FOUND} (CUDA levels: GATEWRIGHT_CUDA=${GATEWRIGHT_CUDA})")
