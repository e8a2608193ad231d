#include "gatewright/models/shapley.h"

#include <ATen/ATen.h>

#include <bit>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline models {

at::Tensor shapley_values(const std::function<at::Tensor(const at::Tensor&)>& value, const at::Tensor& row,
                          const at::Tensor& mean) {
  constexpr int64_t kMost = 20;
  const int64_t d = row.numel();
  GW_CHECK(d >= 1 && d <= kMost && mean.numel() == d,
           "shapley: expected 1 to {} inputs and a mean of each, got {} and {}; every subset is asked", kMost,
           d, mean.numel());
  const int64_t subsets = int64_t{1} << d;
  const auto bit = at::arange(subsets, at::kLong).unsqueeze(1).bitwise_right_shift(at::arange(d, at::kLong));
  const auto inside = bit.bitwise_and(1).to(at::kBool);
  const auto f = value(at::where(inside, row, mean)).to(at::kDouble).contiguous();
  const auto* of = f.data_ptr<double>();
  auto out = at::zeros({d}, at::kDouble);
  for (int64_t j = 0; j < d; ++j) {
    double sum = 0;
    for (int64_t s = 0; s < subsets; ++s) {
      if ((s >> j & 1) != 0) continue;
      const auto size = static_cast<double>(std::popcount(static_cast<uint64_t>(s)));
      const auto n = static_cast<double>(d);
      sum += std::exp(std::lgamma(size + 1) + std::lgamma(n - size) - std::lgamma(n + 1)) *
             (of[s | int64_t{1} << j] - of[s]);
    }
    out[j] = sum;
  }
  return out;
}

}  // namespace gw::inline models
