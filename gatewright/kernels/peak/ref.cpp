#include "gatewright/base/cpu_info.h"
#include "gatewright/kernels/moe_ffn/family.h"
#include "gatewright/kernels/peak/peak.h"
#include "gatewright/kernels/qgemm/family.h"

namespace gw::kernels {

// Eight chains: enough for a latency of four and two units.
int64_t peak_f32_ref(int64_t turns) {
  float s[8] = {};
  volatile float factor = 1e-9f;
  const float f = factor;
  for (int64_t i = 0; i < turns; ++i) {
    for (auto& v : s) v = v * f + f;
  }
  volatile float sink = 0;
  for (const float v : s) sink = sink + v;
  return turns * 16;
}

uint64_t peak_read_ref(const void* from, int64_t bytes) {
  const auto* p = static_cast<const uint64_t*>(from);
  uint64_t a = 0, b = 0, c = 0, d = 0;
  for (int64_t i = 0; i < bytes / 8; i += 4) a ^= p[i], b ^= p[i + 1], c ^= p[i + 2], d ^= p[i + 3];
  return a ^ b ^ c ^ d;
}

namespace {

#if defined(__x86_64__)
// ref counts as the best: it has no instructions of its own.
bool forced_to(const KernelFamilyBase& family, const char* level) {
  return family.levels()[static_cast<size_t>(family.chosen())].name == level;
}

PeakTable x86_peaks(PeakTable table) {
  const auto& cpu = cpu_info();
  const KernelFamilyBase &f32 = moe_ffn_family(), &bf16 = moe_ffn_bf16_family(), &codes = qgemm_family();
  if (cpu.avx2 && cpu.fma) {
    table.f32 = peak_f32_avx2, table.f32_fed = peak_f32_fed_avx2;
    table.int8 = peak_int8_avx2, table.int4 = peak_int4_avx2;
  }
  if (cpu.avx512f) table.read = peak_read_avx512;
  if (cpu.avx512f && !forced_to(f32, "avx2"))
    table.f32 = peak_f32_avx512, table.f32_fed = peak_f32_fed_avx512;
  if (cpu.avx512_bf16 && !forced_to(bf16, "avx2") && !forced_to(bf16, "avx512"))
    table.bf16 = peak_bf16_avx512;
  if (cpu.avx512_vnni && cpu.avx512bw && !forced_to(codes, "avx2"))
    table.int8 = peak_int8_avx512, table.int4 = nullptr;
  return table;
}
#endif

}  // namespace

PeakTable peak_table() {
  PeakTable table;
  table.f32 = peak_f32_ref, table.read = peak_read_ref;
#if defined(__x86_64__)
  table = x86_peaks(table);
#endif
  return table;
}

}  // namespace gw::kernels
