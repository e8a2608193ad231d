#include "kernels/mixture/family.h"

#include "kernels/levels.h"

namespace gw::kernels {

KernelFamily<MixtureTable>& mixture_family() {
  static KernelFamily<MixtureTable> family("mixture", usual_levels(&mixture_ref, GW_X86_TABLE(mixture_avx2), GW_X86_TABLE(mixture_avx512)));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed = mixture_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
