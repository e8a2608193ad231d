// AArch64 with BF16: BFDOT multiplies pairs and adds both products to an f32. As AVX512_BF16 it rounds in
// between and flushes denormals, so bits differ from the widened level's; they are the same for any cut of
// rows, columns and (even) k.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/grouped_gemm/neon_vectors.inl"
using Factor = bfloat16x8_t;
inline Factor prepare(Units v) { return vreinterpretq_bf16_u32(v); }
inline Vector dot(Vector sums, Factor a, Factor b) { return vbfdotq_f32(sums, a, b); }
#include "gatewright/kernels/grouped_gemm/wide.inl"

}  // namespace

const GemmTable<Bf16> gemm_neon_bf16{kTileRows, kCols, 2, pack_k<Bf16>, pack_lanes<Bf16>, tile<Bf16>};

}  // namespace gw::kernels
#endif
