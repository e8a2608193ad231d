// AArch64: f32, and bf16 widened as it is read.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/grouped_gemm/neon_vectors.inl"

inline Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
inline Vector shift_up(Units v) { return vreinterpretq_f32_u32(vshlq_n_u32(v, 16)); }
inline Vector upper_half(Units v) { return vreinterpretq_f32_u32(vandq_u32(v, vdupq_n_u32(0xffff0000u))); }

namespace f32 {
using Factor = Vector;
inline Factor prepare(Units v) { return vreinterpretq_f32_u32(v); }
inline Vector dot(Vector sums, Factor a, Factor b) { return fma(a, b, sums); }
#include "gatewright/kernels/grouped_gemm/wide.inl"
#include "gatewright/kernels/grouped_gemm/wide_small_m.inl"
}  // namespace f32

namespace pairs {
#include "gatewright/kernels/grouped_gemm/widened_pair.inl"
#include "gatewright/kernels/grouped_gemm/wide.inl"
}  // namespace pairs

}  // namespace

const GemmTable<float> gemm_neon{kTileRows,
                                 f32::kCols,
                                 1,
                                 f32::pack_k<float>,
                                 f32::pack_lanes<float>,
                                 f32::tile<float>,
                                 {kTileRows, kLanes, f32::kDeep, f32::few_k<float>, f32::few_lanes}};
const GemmTable<Bf16> gemm_neon_widened_bf16{
    kTileRows, pairs::kCols, 2, pairs::pack_k<Bf16>, pairs::pack_lanes<Bf16>, pairs::tile<Bf16>};

}  // namespace gw::kernels
#endif
