#include "gatewright/kernels/bucket_norm/family.h"

#include "gatewright/kernels/levels.h"

namespace gw::kernels {

KernelFamily<BucketNormTable<float>>& bucket_norm_family() {
  static KernelFamily<BucketNormTable<float>> family(
      "bucket_norm",
      usual_levels(&bucket_norm_ref, GW_X86_TABLE(bucket_norm_avx2), GW_X86_TABLE(bucket_norm_avx512)));
  return family;
}

namespace {
[[maybe_unused]] const auto& listed =
    bucket_norm_family();  // so that kernel_families() knows it before the first call
}

}  // namespace gw::kernels
