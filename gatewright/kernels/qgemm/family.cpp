#include "gatewright/kernels/qgemm/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {
namespace {

std::vector<KernelFamily<QgemmTable>::Level> levels() {
  const auto& cpu = cpu_info();
  std::vector<KernelFamily<QgemmTable>::Level> all{
      {{"ref", true, ""}, &qgemm_ref},
      x86_level<QgemmTable>("avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA", GW_X86_TABLE(qgemm_avx2)),
      x86_level<QgemmTable>("avx512_vnni", cpu.avx512_vnni && cpu.avx512bw, "needs AVX512_VNNI and AVX512BW",
                            GW_X86_TABLE(qgemm_avx512_vnni)),
      x86_level<QgemmTable>("amx", cpu.amx_int8 && cpu.avx512bw && cpu.avx512_vnni,
                            "needs AMX_INT8, AVX512_VNNI and the system's leave to use it",
                            GW_X86_TABLE(qgemm_amx))};
  all = with_neon<QgemmTable>(all, GW_ARM_TABLE(qgemm_neon));
  return with_neon<QgemmTable>(all, GW_ARM_TABLE(qgemm_neon_dotprod), "neon_dotprod", cpu.neon_dotprod,
                               "needs ASIMDDP (FEAT_DotProd)");
}

}  // namespace

KernelFamily<QgemmTable>& qgemm_family() {
  static KernelFamily<QgemmTable> family("qgemm", levels());
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    qgemm_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
