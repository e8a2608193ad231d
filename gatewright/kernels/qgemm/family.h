#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/qgemm/qgemm.h"

namespace gw::kernels {

/// ref, avx2 (AVX2 and FMA), avx512_vnni (AVX512_VNNI and AVX512BW), amx (AMX_INT8); on AArch64
/// neon and neon_dotprod (FEAT_DotProd). All give the same bits.
KernelFamily<QgemmTable>& qgemm_family();

}  // namespace gw::kernels
