# Instruction set flags, per file: the family asks the processor before it takes a level. -O3 unswitches the loops over null pointers.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set_source_files_properties(kernels/bucket_norm/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-O3")
  set_source_files_properties(kernels/bucket_norm/avx512.cpp PROPERTIES COMPILE_OPTIONS "-mavx512f;-mfma;-O3")
  set_source_files_properties(kernels/mixture/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-O3")
  set_source_files_properties(kernels/mixture/avx512.cpp PROPERTIES COMPILE_OPTIONS "-mavx512f;-mfma;-O3")
endif()
