#include "gatewright/base/cpu_info.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace gw::inline base {
namespace {

std::string read_brand() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

int cores_of(int64_t quota_us, int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return 0;
  return static_cast<int>(std::min<int64_t>((quota_us - 1) / period_us + 1, INT_MAX));
}

// Version 2 has "<quota or max> <period>" in one file, version 1 a file for each, with -1 for no quota.
int quota_of_group(const std::string& folder) {
  int64_t quota_us = 0, period_us = 0;
  if (std::istringstream both(text_of(folder + "/cpu.max")); both >> quota_us >> period_us)
    return cores_of(quota_us, period_us);
  std::istringstream quota(text_of(folder + "/cpu.cfs_quota_us")),
      period(text_of(folder + "/cpu.cfs_period_us"));
  return quota >> quota_us && period >> period_us ? cores_of(quota_us, period_us) : 0;
}

int usable_cores() {
  cpu_set_t set;
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
  const int cores = known ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
  const int quota = quota_cores(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  return quota > 0 ? std::min(cores, quota) : cores;
}

#if defined(__x86_64__)
// Linux hands out the tiles' 8 kB of state on request, once for all threads of the process.
bool may_use_tiles() {
#if defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

CpuInfo read() {
  CpuInfo info;
  info.brand = read_brand();
  info.cores = usable_cores() > 0 ? usable_cores() : 1;
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers (XGETBV).
  info.avx2 = __builtin_cpu_supports("avx2");
  info.fma = __builtin_cpu_supports("fma");
  info.f16c = __builtin_cpu_supports("f16c");
  info.avx512f = __builtin_cpu_supports("avx512f");
  info.avx512bw = __builtin_cpu_supports("avx512bw");
  info.avx512vl = __builtin_cpu_supports("avx512vl");
  info.avx512_bf16 = __builtin_cpu_supports("avx512bf16");
  info.avx512_vnni = __builtin_cpu_supports("avx512vnni");
  // g++ 12 does not know "amx-tile" in __builtin_cpu_supports. /proc/cpuinfo would name what an emulator's
  // host has.
  unsigned int a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    info.amx = (d >> 24 & 1) != 0;
    const bool tiles = info.amx && may_use_tiles();
    info.amx_bf16 = tiles && (d >> 22 & 1) != 0;
    info.amx_int8 = tiles && (d >> 25 & 1) != 0;
  }
#elif defined(__aarch64__)
  const auto first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  info.neon = (first & HWCAP_ASIMD) != 0;
  info.neon_dotprod = (first & HWCAP_ASIMDDP) != 0;
  info.neon_bf16 = (second & HWCAP2_BF16) != 0;
#endif
  return info;
}

}  // namespace

std::vector<std::string> CpuInfo::features() const {
  std::vector<std::string> names;
  const auto add = [&](bool has, const char* name) {
    if (has) names.emplace_back(name);
  };
  add(avx2, "avx2"), add(fma, "fma"), add(f16c, "f16c"), add(avx512f, "avx512f"), add(avx512bw, "avx512bw"),
      add(avx512vl, "avx512vl");
  add(avx512_bf16, "avx512_bf16"), add(avx512_vnni, "avx512_vnni"), add(amx, "amx"),
      add(amx_bf16, "amx_bf16"), add(amx_int8, "amx_int8");
  add(neon, "neon"), add(neon_dotprod, "neon_dotprod"), add(neon_bf16, "neon_bf16");
  return names;
}

int quota_cores(const std::string& memberships, const std::string& root) {
  int least = 0;
  std::istringstream lines(memberships);
  for (std::string line;
       std::getline(lines, line);) {  // "0::/a/b" in version 2, "4:cpu,cpuacct:/a/b" in version 1
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers != ",," && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string base = controllers == ",," ? root : root + "/cpu";
    for (std::string group = line.substr(second + 1);;
         group.resize(group.rfind('/'))) {  // in a container it is the mounted root itself
      const int cores = quota_of_group(base + group);
      if (cores > 0 && (least == 0 || cores < least)) least = cores;
      if (group.rfind('/') == std::string::npos) break;
    }
  }
  return least;
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = read();
  return info;
}

}  // namespace gw::inline base
