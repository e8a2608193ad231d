#include "gatewright/kernels/adam/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<AdamTable>& adam_family() {
  static KernelFamily<AdamTable> family(
      "adam",
      with_neon<AdamTable>(usual_levels(&adam_ref, GW_X86_TABLE(adam_avx2), GW_X86_TABLE(adam_avx512)),
                           GW_ARM_TABLE(adam_neon)));
  return family;
}

namespace {
[[maybe_unused]] const auto& adam_listed =
    adam_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
