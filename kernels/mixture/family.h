#pragma once
#include "base/dispatch.h"
#include "kernels/mixture/mixture.h"

namespace gw::kernels {

/// Levels: ref, avx2 (needs AVX2 and FMA), avx512 (needs AVX512F).
KernelFamily<MixtureTable>& mixture_family();

}  // namespace gw::kernels
