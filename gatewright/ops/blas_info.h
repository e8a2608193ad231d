#pragma once
// Which BLAS serves libtorch's matrix products. Debian's libtorch uses whatever the libblas.so.3 alternative
// points at, or the OpenBLAS that cmake/libtorch.cmake names: with the reference BLAS a 2048³ product runs at
// 5 GFLOP/s, with OpenBLAS at 201 (2-core Zen 4).
#include <string>
#include <vector>

namespace gw::ops {

struct BlasInfo {
  std::string name;     ///< "OpenBLAS", "MKL", "BLIS", "reference", or "unknown"
  std::string library;  ///< the file that is loaded; empty when it is part of libtorch
  std::string warning;  ///< empty, or why it is slow and what to install
};

/// Judges the shared libraries of a process. `has_mkl`: libtorch was built with MKL.
BlasInfo judge_blas(const std::vector<std::string>& libraries, bool has_mkl);
/// Of this process.
BlasInfo blas_info();

/// Gives an OpenBLAS that keeps threads of its own one thread, unless OPENBLAS_NUM_THREADS says how many:
/// they and OpenMP's wait for one another, and a training step of small matrices takes twice as long as with
/// one. Nothing happens with any other BLAS, nor with the OpenBLAS whose threads are OpenMP's.
void quiet_blas();

/// Paths of the shared libraries mapped into this process, in address order; empty where /proc is not there.
std::vector<std::string> loaded_libraries();

}  // namespace gw::ops
