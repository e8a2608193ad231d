#include "kernels/moe_ffn/family.h"

#include "base/cpu_info.h"

namespace gw::kernels {
namespace {

template <class T>
using Family = KernelFamily<FfnLevel<T>>;

const FfnLevel<float> ref{&gemm_ref, &ffn_rows_ref};
const FfnLevel<Bf16> ref_bf16{&gemm_ref_bf16, &ffn_rows_ref_bf16};
#if defined(__x86_64__)
const FfnLevel<float> avx2{&gemm_avx2, &ffn_rows_avx2}, avx512{&gemm_avx512, &ffn_rows_avx512};
const FfnLevel<Bf16> avx2_bf16{&gemm_avx2_bf16, &ffn_rows_avx2_bf16}, widened_bf16{&gemm_avx512_widened_bf16, &ffn_rows_avx512_bf16},
    native_bf16{&gemm_avx512_bf16, &ffn_rows_avx512_bf16}, amx_bf16{&gemm_amx_bf16, &ffn_rows_avx512_bf16};
#endif

std::vector<Family<float>::Level> levels() {
  std::vector<Family<float>::Level> result{{{"ref", true, ""}, &ref}};
#if defined(__x86_64__)
  const auto& cpu = cpu_info();
  result.push_back({{"avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA"}, &avx2});
  result.push_back({{"avx512", cpu.avx512f, "needs AVX512F"}, &avx512});
#else
  result.push_back({{"avx2", false, "not an x86-64 build"}, nullptr});
  result.push_back({{"avx512", false, "not an x86-64 build"}, nullptr});
#endif
  return result;
}

std::vector<Family<Bf16>::Level> bf16_levels() {
  std::vector<Family<Bf16>::Level> result{{{"ref", true, ""}, &ref_bf16}};
#if defined(__x86_64__)
  const auto& cpu = cpu_info();
  result.push_back({{"avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA"}, &avx2_bf16});
  result.push_back({{"avx512", cpu.avx512f, "needs AVX512F"}, &widened_bf16});
  result.push_back({{"avx512_bf16", cpu.avx512_bf16, "needs AVX512_BF16"}, &native_bf16});
  result.push_back({{"amx", cpu.amx_bf16 && cpu.avx512f, "needs AMX_BF16 and the system's leave to use it"}, &amx_bf16});
#else
  for (const auto* name : {"avx2", "avx512", "avx512_bf16", "amx"}) result.push_back({{name, false, "not an x86-64 build"}, nullptr});
#endif
  return result;
}

}  // namespace

const FfnLevel<double> moe_ffn_ref_f64{&gemm_ref_f64, &ffn_rows_ref_f64};

Family<float>& moe_ffn_family() {
  static Family<float> family("moe_ffn", levels());
  return family;
}

Family<Bf16>& moe_ffn_bf16_family() {
  static Family<Bf16> family("moe_ffn_bf16", bf16_levels());
  return family;
}

namespace {
[[maybe_unused]] const auto& listed = moe_ffn_family();  // so that kernel_families() knows them before the first call
[[maybe_unused]] const auto& listed_bf16 = moe_ffn_bf16_family();
}  // namespace

}  // namespace gw::kernels
