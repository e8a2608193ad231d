// AVX512F: the plain loops, compiled for it.
#include "gatewright/kernels/moe_ffn/rows.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/moe_ffn/non_temporal.inl"
#include "gatewright/kernels/wide_math.inl"
#include "gatewright/kernels/moe_ffn/combine_avx512.inl"
#include "gatewright/kernels/moe_ffn/rows.inl"

}  // namespace

const FfnRowsTable<float> ffn_rows_avx512 = table<float>();
const FfnRowsTable<Bf16> ffn_rows_avx512_bf16 = table<Bf16>();

}  // namespace gw::kernels
#endif
