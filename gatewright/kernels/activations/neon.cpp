// AArch64: the plain loops, compiled for it.
#include "gatewright/kernels/activations/mittag_leffler.h"
#include "gatewright/kernels/activations/unit.h"

#if defined(__aarch64__)

namespace gw::kernels {
namespace {

#include "gatewright/kernels/wide_math.inl"
#include "gatewright/kernels/activations/wide_numbers.inl"
#include "gatewright/kernels/activations/rows.inl"

}  // namespace

const UnitTable<float> units_neon = table_of<float>(AllUnits{});

}  // namespace gw::kernels
#endif
