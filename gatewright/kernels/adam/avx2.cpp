// AVX2 and FMA: the plain loop, compiled for it.
#include "gatewright/kernels/adam/adam.h"

#if defined(__AVX2__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/adam/values.inl"

}  // namespace

const AdamTable adam_avx2{move};

}  // namespace gw::kernels
#endif
