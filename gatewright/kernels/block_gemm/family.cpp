#include "gatewright/kernels/block_gemm/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<BlockGemmTable>& block_gemm_family() {
  const auto& cpu = cpu_info();
  static KernelFamily<BlockGemmTable> family(
      "block_gemm", {{{"ref", true, ""}, &block_gemm_ref},
                     x86_level<BlockGemmTable>("avx2", cpu.avx2 && cpu.fma && cpu.f16c,
                                               "needs AVX2, FMA and F16C", GW_X86_TABLE(block_gemm_avx2))});
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    block_gemm_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
