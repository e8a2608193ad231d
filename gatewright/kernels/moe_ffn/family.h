#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"
#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels {

/// The levels of the feed-forward kernels by type: products and row functions are chosen together.
/// f32: ref, avx2 (AVX2 and FMA), avx512 (AVX512F). f64 has ref only.
KernelFamily<FfnLevel<float>>& moe_ffn_family();
/// bf16: ref, avx2 and avx512 (pairs widened to f32), avx512_bf16 (AVX512_BF16), amx (AMX_BF16).
KernelFamily<FfnLevel<Bf16>>& moe_ffn_bf16_family();
extern const FfnLevel<double> moe_ffn_ref_f64;

}  // namespace gw::kernels
