#include "gatewright/kernels/moe_ffn/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {
namespace {

template <class T>
using Family = KernelFamily<FfnLevel<T>>;

const FfnLevel<float> ref{&gemm_ref, &ffn_rows_ref, &units_ref};
const FfnLevel<Bf16> ref_bf16{&gemm_ref_bf16, &ffn_rows_ref_bf16, &units_ref};
#if defined(__x86_64__)
const FfnLevel<float> avx2{&gemm_avx2, &ffn_rows_avx2, &units_avx2},
    avx512{&gemm_avx512, &ffn_rows_avx512, &units_avx512};
const FfnLevel<Bf16> avx2_bf16{&gemm_avx2_bf16, &ffn_rows_avx2_bf16, &units_avx2},
    widened_bf16{&gemm_avx512_widened_bf16, &ffn_rows_avx512_bf16, &units_avx512},
    native_bf16{&gemm_avx512_bf16, &ffn_rows_native_bf16, &units_avx512},
    amx_bf16{&gemm_amx_bf16, &ffn_rows_native_bf16, &units_avx512};
#elif defined(__aarch64__)
const FfnLevel<float> neon{&gemm_neon, &ffn_rows_neon, &units_neon};
const FfnLevel<Bf16> neon_widened_bf16{&gemm_neon_widened_bf16, &ffn_rows_neon_bf16, &units_neon},
    neon_bf16{&gemm_neon_bf16, &ffn_rows_neon_bf16, &units_neon};
#endif

// The levels that bf16 adds: pairs multiplied by an instruction of their own, or by the matrix unit.
std::vector<Family<Bf16>::Level> bf16_levels() {
  auto result = usual_levels(&ref_bf16, GW_X86_TABLE(avx2_bf16), GW_X86_TABLE(widened_bf16));
  const auto& cpu = cpu_info();
  const bool native = cpu.avx512_bf16 && cpu.avx512bw, tiles = cpu.amx_bf16 && native;
  result.push_back(x86_level<FfnLevel<Bf16>>("avx512_bf16", native, "needs AVX512_BF16 and AVX512BW",
                                             GW_X86_TABLE(native_bf16)));
  result.push_back(x86_level<FfnLevel<Bf16>>("amx", tiles, "needs AMX_BF16 and the system's leave to use it",
                                             GW_X86_TABLE(amx_bf16)));
  result = with_neon<FfnLevel<Bf16>>(result, GW_ARM_TABLE(neon_widened_bf16));
  return with_neon<FfnLevel<Bf16>>(result, GW_ARM_TABLE(neon_bf16), "neon_bf16", cpu.neon_bf16,
                                   "needs BF16 (FEAT_BF16)");
}

}  // namespace

const FfnLevel<double> moe_ffn_ref_f64{&gemm_ref_f64, &ffn_rows_ref_f64, &units_ref_f64};

Family<float>& moe_ffn_family() {
  static Family<float> family(
      "moe_ffn", with_cuda(with_neon<FfnLevel<float>>(
                     usual_levels(&ref, GW_X86_TABLE(avx2), GW_X86_TABLE(avx512)), GW_ARM_TABLE(neon))));
  return family;
}

Family<Bf16>& moe_ffn_bf16_family() {
  static Family<Bf16> family("moe_ffn_bf16", with_cuda(bf16_levels()));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    moe_ffn_family();  // so that kernel_families() knows them before the first call
[[maybe_unused]] const auto& listed_bf16 = moe_ffn_bf16_family();
}  // namespace

}  // namespace gw::kernels
