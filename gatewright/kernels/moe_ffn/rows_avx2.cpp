// AVX2 and FMA: the plain loops, compiled for it.
#include "gatewright/kernels/moe_ffn/rows.h"

#if defined(__AVX2__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/moe_ffn/non_temporal.inl"
#include "gatewright/kernels/wide_math.inl"
#include "gatewright/kernels/moe_ffn/rows.inl"

}  // namespace

const FfnRowsTable<float> ffn_rows_avx2 = table<float>();
const FfnRowsTable<Bf16> ffn_rows_avx2_bf16 = table<Bf16>();

}  // namespace gw::kernels
#endif
