#include "kernels/codes/family.h"

#include "kernels/levels.h"

namespace gw::kernels {
namespace {

std::vector<KernelFamily<CodeTable>::Level> levels() {
  const auto& cpu = cpu_info();
  return {{{"ref", true, ""}, &codes_ref},
          x86_level<CodeTable>("avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA", GW_X86_TABLE(codes_avx2)),
          x86_level<CodeTable>("avx512_vnni", cpu.avx512_vnni && cpu.avx512bw, "needs AVX512_VNNI and AVX512BW", GW_X86_TABLE(codes_avx512_vnni)),
          x86_level<CodeTable>("amx", cpu.amx_int8 && cpu.avx512bw && cpu.avx512_vnni, "needs AMX_INT8, AVX512_VNNI and the system's leave to use it", GW_X86_TABLE(codes_amx))};
}

}  // namespace

KernelFamily<CodeTable>& codes_family() {
  static KernelFamily<CodeTable> family("codes", levels());
  return family;
}

namespace {
[[maybe_unused]] const auto& listed = codes_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
