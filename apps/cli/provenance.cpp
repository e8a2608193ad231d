#include "apps/cli/provenance.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/version.h>

#include "gatewright/base/cpu_info.h"

namespace gw {

extern const char* const kCommit;  // written by cmake/commit.cmake at every build

std::string version_with_commit() {
  const std::string commit = kCommit;
  return GW_VERSION + (commit.empty() ? commit : ", commit " + commit);
}

std::string machine_text() {
  const auto& cpu = cpu_info();
  const int threads = at::get_num_threads();
  return fmt::format("{}, {} core{}, {} thread{}, libtorch {}, Gatewright {}", cpu.brand, cpu.cores,
                     cpu.cores == 1 ? "" : "s", threads, threads == 1 ? "" : "s", TORCH_VERSION,
                     version_with_commit());
}

}  // namespace gw
