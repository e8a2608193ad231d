#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/block_gemm/block_gemm.h"

namespace gw::kernels {

/// ref, avx2 (AVX2, FMA and F16C). Both give the same bits.
KernelFamily<BlockGemmTable>& block_gemm_family();

}  // namespace gw::kernels
