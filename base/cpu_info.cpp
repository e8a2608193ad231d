#include "base/cpu_info.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace gw {
namespace {

std::string read_brand() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Linux hands out the tiles' 8 kB of state on request, once for all threads of the process.
bool may_use_tiles() {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

CpuInfo read() {
  CpuInfo info;
  info.brand = read_brand();
  info.cores = usable_cores() > 0 ? usable_cores() : 1;
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers (XGETBV).
  info.avx2 = __builtin_cpu_supports("avx2");
  info.fma = __builtin_cpu_supports("fma");
  info.avx512f = __builtin_cpu_supports("avx512f");
  info.avx512bw = __builtin_cpu_supports("avx512bw");
  info.avx512vl = __builtin_cpu_supports("avx512vl");
  info.avx512_bf16 = __builtin_cpu_supports("avx512bf16");
  info.avx512_vnni = __builtin_cpu_supports("avx512vnni");
  // g++ 12 does not know "amx-tile" in __builtin_cpu_supports. /proc/cpuinfo would name what an emulator's host has.
  unsigned int a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    info.amx = (d >> 24 & 1) != 0;
    const bool tiles = info.amx && may_use_tiles();
    info.amx_bf16 = tiles && (d >> 22 & 1) != 0;
    info.amx_int8 = tiles && (d >> 25 & 1) != 0;
  }
#endif
  return info;
}

}  // namespace

std::vector<std::string> CpuInfo::features() const {
  std::vector<std::string> names;
  const auto add = [&](bool has, const char* name) {
    if (has) names.emplace_back(name);
  };
  add(avx2, "avx2"), add(fma, "fma"), add(avx512f, "avx512f"), add(avx512bw, "avx512bw"), add(avx512vl, "avx512vl");
  add(avx512_bf16, "avx512_bf16"), add(avx512_vnni, "avx512_vnni"), add(amx, "amx"), add(amx_bf16, "amx_bf16"), add(amx_int8, "amx_int8");
  return names;
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = read();
  return info;
}

}  // namespace gw
