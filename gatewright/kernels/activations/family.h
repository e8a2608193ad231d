#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/activations/unit.h"

namespace gw::kernels {

/// f32: ref, avx2 (AVX2 and FMA), avx512 (AVX512F). f64 has `units_ref_f64` only.
KernelFamily<UnitTable<float>>& activation_family();

}  // namespace gw::kernels
