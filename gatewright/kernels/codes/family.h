#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/codes/codes.h"

namespace gw::kernels {

/// ref, avx2 (AVX2). Both give the same bits.
KernelFamily<CodesTable>& codes_family();

}  // namespace gw::kernels
