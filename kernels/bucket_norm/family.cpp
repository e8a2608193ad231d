#include "kernels/bucket_norm/family.h"

#include "base/cpu_info.h"

namespace gw::kernels {
namespace {

using Family = KernelFamily<BucketNormTable<float>>;

std::vector<Family::Level> levels() {
  std::vector<Family::Level> result{{{"ref", true, ""}, &bucket_norm_ref}};
#if defined(__x86_64__)
  const auto& cpu = cpu_info();
  result.push_back({{"avx2", cpu.avx2 && cpu.fma, "needs AVX2 and FMA"}, &bucket_norm_avx2});
  result.push_back({{"avx512", cpu.avx512f, "needs AVX512F"}, &bucket_norm_avx512});
#else
  result.push_back({{"avx2", false, "not an x86-64 build"}, nullptr});
  result.push_back({{"avx512", false, "not an x86-64 build"}, nullptr});
#endif
  return result;
}

}  // namespace

Family& bucket_norm_family() {
  static Family family("bucket_norm", levels());
  return family;
}

namespace {
[[maybe_unused]] const Family& listed = bucket_norm_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
