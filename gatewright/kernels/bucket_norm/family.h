#pragma once
#include "gatewright/base/dispatch.h"
#include "gatewright/kernels/bucket_norm/bucket_norm.h"

namespace gw::kernels {

/// The f32 levels: ref, avx2 (needs AVX2 and FMA), avx512 (needs AVX512F). f64 has `bucket_norm_ref_f64`
/// only.
KernelFamily<BucketNormTable<float>>& bucket_norm_family();

}  // namespace gw::kernels
