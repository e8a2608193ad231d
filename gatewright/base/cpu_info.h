#pragma once
#include <string>
#include <vector>

namespace gw::inline base {

/// What the processor (and the operating system) lets us execute. Each feature is asked for separately.
struct CpuInfo {
  std::string brand;
  bool avx2 = false, fma = false, f16c = false, avx512f = false, avx512bw = false, avx512vl = false,
       avx512_bf16 = false, avx512_vnni = false, amx = false;
  bool amx_bf16 = false, amx_int8 = false;  ///< and the operating system lets this process use the tiles
  bool neon = false, neon_dotprod = false, neon_bf16 = false;  ///< AArch64: vectors, SDOT, BFDOT
  int cores =
      1;  ///< cores this process may use (affinity mask and quota of its control groups), not the machine's
  std::vector<std::string> features() const;
};

const CpuInfo& cpu_info();

/// Cores that the quotas of control groups leave to a process, rounded up; 0 without a quota. `memberships`
/// is the text of /proc/self/cgroup, `root` where the groups are mounted (/sys/fs/cgroup). A quota of a group
/// holds for all groups in it.
int quota_cores(const std::string& memberships, const std::string& root);

}  // namespace gw::inline base
