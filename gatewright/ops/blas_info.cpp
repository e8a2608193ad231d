#include "gatewright/ops/blas_info.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace gw::ops {
namespace {

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

constexpr const char* kRemedy =
    "`apt-get install libopenblas0-openmp` makes matrix products about 40 times faster";
constexpr const char* kOwnThreads =
    "this OpenBLAS has threads of its own, which OpenMP's would wait for, so it gets one; "
    "`apt-get install libopenblas0-openmp` and a build anew make training faster";

/// OpenBLAS's own functions, by name: libtorch links it, we do not have to.
template <class Function>
Function* found(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}
constexpr int kThreadsOfItsOwn = 1;  // of openblas_get_parallel(): 0 none, 2 OpenMP's

}  // namespace

std::vector<std::string> loaded_libraries() {
  std::vector<std::string> paths;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos) continue;
    const auto path = line.substr(slash);
    if (contains(path, ".so") && std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(path);
  }
  return paths;
}

BlasInfo judge_blas(const std::vector<std::string>& libraries, bool has_mkl) {
  if (has_mkl) return {"MKL", "", ""};
  for (const auto& path : libraries) {
    const bool blas = path.find("blas", path.rfind('/')) != std::string::npos || contains(path, "blis");
    if (!blas) continue;
    const bool serial = contains(path, "openblas") && contains(path, "serial");
    if (serial)
      return {"OpenBLAS", path,
              std::string("this OpenBLAS uses one thread only; ") + "install libopenblas0-openmp"};
    if (contains(path, "openblas-pthread")) return {"OpenBLAS", path, kOwnThreads};
    if (contains(path, "openblas")) return {"OpenBLAS", path, ""};
    if (contains(path, "blis")) return {"BLIS", path, ""};
    if (contains(path, "libblas.so"))
      return {"reference", path, std::string("the reference BLAS is in use; ") + kRemedy};
  }
  return {"unknown", "", ""};
}

void quiet_blas() {
  auto* const parallel = found<int()>("openblas_get_parallel");
  auto* const set_threads = found<void(int)>("openblas_set_num_threads");
  if (parallel == nullptr || set_threads == nullptr || std::getenv("OPENBLAS_NUM_THREADS") != nullptr) return;
  if (parallel() == kThreadsOfItsOwn) set_threads(1);
}

BlasInfo blas_info() { return judge_blas(loaded_libraries(), at::hasMKL()); }

}  // namespace gw::ops
