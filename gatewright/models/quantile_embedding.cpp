#include "gatewright/models/quantile_embedding.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

constexpr const char* kQuantiles = "models/quantile_embedding";

/// The value below which a share `p` of the sorted values lies, on the line between its neighbours.
double quantile_of(const double* sorted, int64_t n, double p) {
  const double place = p * static_cast<double>(n - 1);
  const auto below = static_cast<int64_t>(place);
  const double rest = place - static_cast<double>(below);
  const double low = sorted[below], high = sorted[std::min(below + 1, n - 1)];
  return low + rest * (high - low);
}

}  // namespace

at::Tensor piecewise_linear(const at::Tensor& x, const at::Tensor& lower, const at::Tensor& scale) {
  return ((x.unsqueeze(2) - lower) * scale).clamp(0, 1);
}

QuantileEmbedding::QuantileEmbedding(int64_t numbers, int64_t bins, int64_t width, const Rng& rng)
    : torch::nn::Module("QuantileEmbedding"), bins_(bins) {
  GW_CHECK(numbers >= 1 && bins >= 1 && width >= 1,
           "{}: expected at least one number, bin and column, got {}, {} and {}", kQuantiles, numbers, bins,
           width);
  lower_ = register_buffer("lower", at::zeros({numbers, bins}));
  scale_ = register_buffer("scale", at::zeros({numbers, bins}));
  std::vector<double> edges;
  for (int64_t j = 0; j <= bins; ++j) {
    const double p = (static_cast<double>(j) + 0.5) / (static_cast<double>(bins) + 1);
    edges.push_back(normal_quantile(p));
  }
  for (int64_t f = 0; f < numbers; ++f) set_edges(f, edges);
  const double limit = 1 / std::sqrt(static_cast<double>(width));
  slope_ = register_parameter("slope", ops::uniform(rng.fork("slope"), {numbers, width}, -limit, limit));
  start_ = register_parameter("start", ops::uniform(rng.fork("start"), {numbers, width}, -limit, limit));
  bend_ = register_parameter("bend", at::zeros({numbers, bins, width}));
}

void QuantileEmbedding::set_edges(int64_t number, const std::vector<double>& edges) {
  for (int64_t j = 0; j < bins_; ++j) {
    const auto at = static_cast<size_t>(j);
    const bool there = at + 1 < edges.size();
    lower_[number][j] = there ? edges[at] : 0.0;
    scale_[number][j] = there ? 1 / (edges[at + 1] - edges[at]) : 0.0;
  }
}

void QuantileEmbedding::prepare(const at::Tensor& x) {
  GW_CHECK(x.dim() == 2 && x.size(1) == lower_.size(0) && x.size(0) > 0,
           "{}: expected rows of {} numbers, got {} dimensions with {} values", kQuantiles, lower_.size(0),
           x.dim(), x.numel());
  const auto columns = std::get<0>(x.detach().to(at::kDouble).t().contiguous().sort(1)).contiguous();
  GW_CHECK(at::isfinite(columns).all().item<bool>(), "{}: expected finite numbers, got others", kQuantiles);
  const int64_t n = columns.size(1);
  for (int64_t f = 0; f < columns.size(0); ++f) {
    const double* sorted = columns.data_ptr<double>() + f * n;
    // Edges nearer than this share of the range would make steps of what is a line.
    const double least = 1e-9 * std::max(sorted[n - 1] - sorted[0], 1e-300);
    std::vector<double> edges{sorted[0]};
    for (int64_t j = 1; j <= bins_; ++j) {
      const double edge = quantile_of(sorted, n, static_cast<double>(j) / static_cast<double>(bins_));
      if (edge - edges.back() > least) edges.push_back(edge);
    }
    set_edges(f, edges);
  }
}

at::Tensor QuantileEmbedding::forward(const at::Tensor& x) const {
  const int64_t rows = x.size(0), numbers = lower_.size(0), width = slope_.size(1);
  GW_CHECK(x.dim() == 2 && x.size(1) == numbers, "{}: expected rows [B, {}], got {} dimensions", kQuantiles,
           numbers, x.dim());
  ops::CostRecorder::add(rows * numbers * (bins_ + 1) * width);
  const auto code = piecewise_linear(x, lower_, scale_);
  const auto bent = at::bmm(code.transpose(0, 1), bend_).transpose(0, 1);  // [B, F, width]
  return (bent + at::addcmul(start_, x.unsqueeze(2), slope_)).reshape({rows, numbers * width});
}

}  // namespace gw::inline models
