#include "kernels/top_k/family.h"

#include "base/cpu_info.h"

namespace gw::kernels {
namespace {

using Family = KernelFamily<TopKTable<float>>;

std::vector<Family::Level> levels() {
  std::vector<Family::Level> result{{{"ref", true, ""}, &top_k_ref}};
#if defined(__x86_64__)
  const auto& cpu = cpu_info();
  result.push_back({{"avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA"}, &top_k_avx2});
  result.push_back({{"avx512", cpu.avx512f, "needs AVX512F"}, &top_k_avx512});
#else
  result.push_back({{"avx2", false, "not an x86-64 build"}, nullptr});
  result.push_back({{"avx512", false, "not an x86-64 build"}, nullptr});
#endif
  return result;
}

}  // namespace

Family& top_k_family() {
  static Family family("top_k", levels());
  return family;
}

namespace {
[[maybe_unused]] const Family& listed = top_k_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
