#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/plane_conv/plane_conv.h"

namespace gw::kernels {

/// ref, avx2 (needs AVX2 and FMA), avx512 (needs AVX512F); f32.
KernelFamily<PlaneTable>& plane_conv_family();

}  // namespace gw::kernels
