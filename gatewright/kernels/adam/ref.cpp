// The reference: the plain loop for any processor; fused steps are a function's calls where it has none.
#include "gatewright/kernels/adam/adam.h"

namespace gw::kernels {
namespace {

#include "gatewright/kernels/adam/values.inl"

}  // namespace

const AdamTable adam_ref{move};

}  // namespace gw::kernels
