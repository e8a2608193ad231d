#include "gatewright/kernels/attend/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<AttendTable>& attend_family() {
  static KernelFamily<AttendTable> family(
      "attend", with_neon<AttendTable>(
                    usual_levels(&attend_ref, GW_X86_TABLE(attend_avx2), GW_X86_TABLE(attend_avx512)),
                    GW_ARM_TABLE(attend_neon)));
  return family;
}

namespace {
[[maybe_unused]] const auto& attend_listed =
    attend_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
