#include "gatewright/kernels/row_product/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<RowProductTable>& row_product_family() {
  static KernelFamily<RowProductTable> family(
      "row_product", with_neon<RowProductTable>(usual_levels(&row_product_ref, GW_X86_TABLE(row_product_avx2),
                                                             GW_X86_TABLE(row_product_avx512)),
                                                GW_ARM_TABLE(row_product_neon)));
  return family;
}

namespace {
[[maybe_unused]] const auto& row_product_listed =
    row_product_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
