// AVX512F: the plain loop, compiled for it.
#include "gatewright/kernels/adam/adam.h"

#if defined(__AVX512F__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/adam/values.inl"

}  // namespace

const AdamTable adam_avx512{move};

}  // namespace gw::kernels
#endif
