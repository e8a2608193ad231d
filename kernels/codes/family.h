#pragma once
#include "base/dispatch.h"
#include "kernels/codes/codes.h"

namespace gw::kernels {

/// ref, avx2 (AVX2 and FMA), avx512_vnni (AVX512_VNNI and AVX512BW), amx (AMX_INT8). All give the same bits.
KernelFamily<CodeTable>& codes_family();

}  // namespace gw::kernels
