#include "gatewright/base/cpu_info.h"
#include "gatewright/kernels/peak/peak.h"

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

PeakTable peak_table() {
  PeakTable table;
  table.f32 = peak_f32_ref, table.read = peak_read_ref;
#if defined(__x86_64__)
  const auto& cpu = cpu_info();
  if (cpu.avx2 && cpu.fma) table.f32 = peak_f32_avx2, table.f32_fed = peak_f32_fed_avx2;
  if (cpu.avx512f)
    table.f32 = peak_f32_avx512, table.f32_fed = peak_f32_fed_avx512, table.read = peak_read_avx512;
  if (cpu.avx512_bf16) table.bf16 = peak_bf16_avx512;
  if (cpu.avx512_vnni && cpu.avx512bw) table.int8 = peak_int8_avx512;
#endif
  return table;
}

}  // namespace gw::kernels
