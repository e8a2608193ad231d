// AArch64: the plain loop, compiled for it.
#include "gatewright/kernels/adam/adam.h"

#if defined(__aarch64__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/adam/values.inl"

}  // namespace

const AdamTable adam_neon{move};

}  // namespace gw::kernels
#endif
