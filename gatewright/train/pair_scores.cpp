#include "gatewright/train/pair_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

/// Cosines of the texts of some pairs with the partner of their own and with that of another.
struct Compared {
  at::Tensor together, apart, first, second;
};

Compared compared(const at::Tensor& vectors) {
  const auto unit = vectors / vectors.norm(2, {2}, true).clamp_min(1e-12);
  Compared out;
  out.first = unit.select(1, 0), out.second = unit.select(1, 1);
  out.together = (out.first * out.second).sum(1);
  out.apart = (out.first * out.second.roll(out.second.size(0) / 2, 0)).sum(1);
  return out;
}

}  // namespace

double f1_at(double threshold, const at::Tensor& together, const at::Tensor& apart) {
  const auto right = together.to(at::kDouble).ge(threshold).sum().item<double>();
  const auto wrong = apart.to(at::kDouble).ge(threshold).sum().item<double>();
  const auto missed = static_cast<double>(together.numel()) - right;
  return right > 0 ? 2 * right / (2 * right + wrong + missed) : 0;
}

double best_threshold(const at::Tensor& together, const at::Tensor& apart) {
  GW_CHECK(together.numel() > 0, "pair scores: expected pairs that belong together, got none");
  std::vector<std::pair<double, bool>> all;
  for (const bool own : {true, false}) {
    const auto values = (own ? together : apart).to(at::kDouble).contiguous();
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double value = values.data_ptr<double>()[i];
      GW_CHECK(std::isfinite(value), "pair scores: expected finite similarities, got {}", value);
      all.emplace_back(value, own);
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  double right = 0, wrong = 0, best = -1, threshold = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    (all[i].second ? right : wrong) += 1;
    const bool last = i + 1 == all.size();
    if (!last && all[i + 1].first == all[i].first) continue;
    const double f1 = 2 * right / (right + wrong + static_cast<double>(together.numel()));
    if (f1 <= best) continue;
    best = f1, threshold = last ? all[i].first : (all[i].first + all[i + 1].first) / 2;
  }
  return threshold;
}

PairScores pair_scores(const at::Tensor& vectors) {
  GW_CHECK(vectors.dim() == 3 && vectors.size(1) == 2 && vectors.size(0) >= 4,
           "pair scores: expected vectors [n, 2, D] of at least 4 pairs of a domain, got {}",
           c10::str(vectors.sizes()));
  const auto all = vectors.to(at::kDouble);
  const auto set = compared(all.slice(0, 0, c10::nullopt, 2)),
             seen = compared(all.slice(0, 1, c10::nullopt, 2));
  PairScores out;
  out.f1 = f1_at(best_threshold(set.together, set.apart), seen.together, seen.apart);
  out.together = seen.together.mean().item<double>(), out.apart = seen.apart.mean().item<double>();
  const auto nearest = at::matmul(seen.first, seen.second.t()).argmax(1);
  out.found = nearest.eq(at::arange(nearest.size(0), at::kLong)).to(at::kDouble).mean().item<double>();
  return out;
}

}  // namespace gw::inline train
