#include "gatewright/kernels/em/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<EmTable>& em_family() {
  static KernelFamily<EmTable> family("mixture",
                                      usual_levels(&em_ref, GW_X86_TABLE(em_avx2), GW_X86_TABLE(em_avx512)));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    em_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
