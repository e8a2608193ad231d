#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/attend/attend.h"

namespace gw::kernels {

/// ref, avx2 (AVX2 and FMA), avx512 (AVX512F), neon.
KernelFamily<AttendTable>& attend_family();

}  // namespace gw::kernels
