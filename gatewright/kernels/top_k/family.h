#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/top_k/top_k.h"

namespace gw::kernels {

/// f32: ref, avx2 (AVX2 and FMA), avx512 (AVX512F). f64 has `top_k_ref_f64` only.
KernelFamily<TopKTable<float>>& top_k_family();

}  // namespace gw::kernels
