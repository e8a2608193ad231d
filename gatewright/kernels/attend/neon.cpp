// AArch64: vectors of 4.
#include "gatewright/kernels/attend/attend.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace gw::kernels {
namespace {

constexpr int64_t kLanes = 4, kVectors = 8;  // 3 rows · 8 vectors: 24 of 32 registers hold sums
using Vector = float32x4_t;

inline Vector load(const float* p) { return vld1q_f32(p); }
inline Vector load(const Bf16* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p)), 16));
}
inline void store(float* p, Vector v) { vst1q_f32(p, v); }
inline Vector same(float value) { return vdupq_n_f32(value); }
inline Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
inline Vector larger(Vector a, Vector b) { return vmaxq_f32(a, b); }
inline Vector smaller(Vector a, Vector b) { return vminq_f32(a, b); }

inline void transpose(Vector (&r)[kLanes]) {
  const float32x4x2_t low = vtrnq_f32(r[0], r[1]), high = vtrnq_f32(r[2], r[3]);
  for (int i = 0; i < 2; ++i) {
    r[i] = vcombine_f32(vget_low_f32(low.val[i]), vget_low_f32(high.val[i]));
    r[i + 2] = vcombine_f32(vget_high_f32(low.val[i]), vget_high_f32(high.val[i]));
  }
}

#include "gatewright/kernels/attend/wide.inl"

}  // namespace

const AttendTable attend_neon{attend<float>, attend<Bf16>, turn_all<float>, turn_all<Bf16>};

}  // namespace gw::kernels
#endif
