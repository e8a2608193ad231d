#pragma once
// What merged kernels give back to the experts and to the mixing. Whole kernels are in the inner loops, so
// that they fill vectors whatever the compiler's instruction set. (Merging itself is PlaneTable::merge.)
#include <cstdint>

namespace gw::ops {

/// share[e] = Σ_p gradient[p] · kernel[e][p], in eight sums by p mod 8 that are added in order.
inline void kernel_shares(const float* kernel, const float* gradient, int64_t experts, int64_t values,
                          float* share) {
  for (int64_t e = 0; e < experts; ++e) {
    const float* w = kernel + e * values;
    float sum[8] = {};
    int64_t p = 0;
    for (; p + 8 <= values; p += 8) {
      for (int64_t l = 0; l < 8; ++l) sum[l] += gradient[p + l] * w[p + l];
    }
    for (; p < values; ++p) sum[p % 8] += gradient[p] * w[p];
    share[e] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  }
}

/// to[e][p] += share[e] · kernel[p].
inline void spread_kernel(const float* kernel, const float* share, int64_t experts, int64_t values,
                          float* to) {
  for (int64_t e = 0; e < experts; ++e) {
    float* sum = to + e * values;
    for (int64_t p = 0; p < values; ++p) sum[p] += share[e] * kernel[p];
  }
}

}  // namespace gw::ops
