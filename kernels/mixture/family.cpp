#include "kernels/mixture/family.h"

#include "base/cpu_info.h"

namespace gw::kernels {
namespace {

using Family = KernelFamily<MixtureTable>;

std::vector<Family::Level> levels() {
  std::vector<Family::Level> result{{{"ref", true, ""}, &mixture_ref}};
#if defined(__x86_64__)
  const auto& cpu = cpu_info();
  result.push_back({{"avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA"}, &mixture_avx2});
  result.push_back({{"avx512", cpu.avx512f, "needs AVX512F"}, &mixture_avx512});
#else
  result.push_back({{"avx2", false, "not an x86-64 build"}, nullptr});
  result.push_back({{"avx512", false, "not an x86-64 build"}, nullptr});
#endif
  return result;
}

}  // namespace

Family& mixture_family() {
  static Family family("mixture", levels());
  return family;
}

namespace {
[[maybe_unused]] const Family& listed = mixture_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
