#include "gatewright/kernels/top_k/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<TopKTable<float>>& top_k_family() {
  static KernelFamily<TopKTable<float>> family(
      "top_k", with_cuda(with_neon<TopKTable<float>>(
                   usual_levels(&top_k_ref, GW_X86_TABLE(top_k_avx2), GW_X86_TABLE(top_k_avx512)),
                   GW_ARM_TABLE(top_k_neon))));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    top_k_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
