// AArch64: the plain loops, compiled for it.
#include "gatewright/kernels/top_k/top_k.h"

#if defined(__aarch64__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/wide_math.inl"
#include "gatewright/kernels/top_k/rows.inl"

}  // namespace

const TopKTable<float> top_k_neon{run};

}  // namespace gw::kernels
#endif
