#include "gatewright/kernels/codes/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<CodesTable>& codes_family() {
  static KernelFamily<CodesTable> family(
      "codes", {{{"ref", true, ""}, &codes_ref},
                x86_level<CodesTable>("avx2", cpu_info().avx2, "needs AVX2", GW_X86_TABLE(codes_avx2))});
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    codes_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
