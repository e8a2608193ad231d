#include "gatewright/kernels/plane_conv/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<PlaneTable>& plane_conv_family() {
  static KernelFamily<PlaneTable> family(
      "plane_conv",
      usual_levels(&plane_conv_ref, GW_X86_TABLE(plane_conv_avx2), GW_X86_TABLE(plane_conv_avx512)));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    plane_conv_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
