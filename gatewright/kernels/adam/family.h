#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/adam/adam.h"

namespace gw::kernels {

/// ref, avx2 (AVX2 and FMA), avx512 (AVX512F), neon.
KernelFamily<AdamTable>& adam_family();

}  // namespace gw::kernels
