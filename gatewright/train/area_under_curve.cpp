#include "gatewright/train/area_under_curve.h"

#include <ATen/ATen.h>

#include <limits>

#include "gatewright/base/check.h"

namespace gw::inline train {

double area_under_curve(const at::Tensor& score, const at::Tensor& positive) {
  GW_CHECK(score.dim() == 1 && positive.sizes() == score.sizes() && positive.scalar_type() == at::kBool,
           "area_under_curve: expected scores [n] and as many booleans, got {} and {} values", score.numel(),
           positive.numel());
  const auto [sorted, order] = score.detach().to(at::kDouble).sort();
  const auto kind = positive.index_select(0, order).contiguous();
  const auto values = sorted.contiguous();
  const auto* value = values.data_ptr<double>();
  const auto* is = kind.data_ptr<bool>();
  const int64_t n = values.numel();
  double below = 0, pairs = 0, positives = 0;
  for (int64_t i = 0; i < n;) {
    double yes = 0, no = 0;
    const double tied = value[i];
    for (; i < n && value[i] == tied; ++i) (is[i] ? yes : no) += 1;
    pairs += yes * (below + no / 2), below += no, positives += yes;
  }
  const double all = positives * below;
  return all > 0 ? pairs / all : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace gw::inline train
