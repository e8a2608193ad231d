// AVX512_BF16: the plain loops, but gradients over few rows are narrowed by the conversion's own instruction,
// which takes denormals for zero as the level's products do.
#include "gatewright/kernels/moe_ffn/rows.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/moe_ffn/non_temporal.inl"
#include "gatewright/kernels/wide_math.inl"
#include "gatewright/kernels/moe_ffn/combine_avx512.inl"
#include "gatewright/kernels/moe_ffn/rows.inl"

}  // namespace

const FfnRowsTable<Bf16> ffn_rows_native_bf16 = table<Bf16>();

}  // namespace gw::kernels
#endif
