#include "gatewright/kernels/activations/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<UnitTable<float>>& activation_family() {
  static KernelFamily<UnitTable<float>> family(
      "activation", with_neon<UnitTable<float>>(
                        usual_levels(&units_ref, GW_X86_TABLE(units_avx2), GW_X86_TABLE(units_avx512)),
                        GW_ARM_TABLE(units_neon)));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    activation_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
