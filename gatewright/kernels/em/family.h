#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/em/em.h"

namespace gw::kernels {

/// Levels: ref, avx2 (needs AVX2 and FMA), avx512 (needs AVX512F).
KernelFamily<EmTable>& em_family();

}  // namespace gw::kernels
