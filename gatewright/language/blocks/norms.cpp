#include "gatewright/language/blocks/norms.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

namespace gw::inline language {

TokenNorm::TokenNorm(int64_t width, double epsilon, bool centred)
    : torch::nn::Module("TokenNorm"), epsilon_(epsilon) {
  weight_ = register_parameter("weight", at::ones({width}));
  if (centred) bias_ = register_parameter("bias", at::zeros({width}));
}

namespace {

/// Σ value(i): eight sums beside each other, added up at the end; one alone would wait for itself.
template <class Value>
double sum_of(int64_t count, const Value& value) {
  constexpr int64_t kSums = 8;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums)
#pragma GCC unroll 8
    for (int64_t j = 0; j < kSums; ++j) sums[j] += value(i + j);
  for (int64_t j = 0; i + j < count; ++j) sums[j] += value(i + j);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

/// A row at a time, without a tensor between the steps: decoding spends 5 µs on each of them otherwise.
at::Tensor TokenNorm::by_rows(const at::Tensor& given) const {
  const auto x = given.contiguous();
  const auto y = at::empty_like(x);
  const int64_t width = x.size(-1), rows = x.numel() / std::max<int64_t>(width, 1);
  const auto *from = x.data_ptr<float>(), *weight = weight_.data_ptr<float>();
  const auto* bias = bias_.defined() ? bias_.data_ptr<float>() : nullptr;
  auto* to = y.data_ptr<float>();
  at::parallel_for(0, rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* a = from + r * width;
      const double sum = bias != nullptr ? sum_of(width, [&](int64_t i) { return double{a[i]}; }) : 0;
      const double mean = sum / static_cast<double>(width);
      const double squares = sum_of(width, [&](int64_t i) { return (a[i] - mean) * (a[i] - mean); });
      const double factor = 1 / std::sqrt(squares / static_cast<double>(width) + epsilon_);
      float* const out = to + r * width;
      for (int64_t i = 0; bias == nullptr && i < width; ++i)
        out[i] = static_cast<float>(a[i] * factor) * weight[i];
      for (int64_t i = 0; bias != nullptr && i < width; ++i)
        out[i] = static_cast<float>((a[i] - mean) * factor) * weight[i] + bias[i];
    }
  });
  return y;
}

at::Tensor TokenNorm::forward(const at::Tensor& x) const {
  const bool plain = !at::GradMode::is_enabled() && x.scalar_type() == at::kFloat &&
                     weight_.scalar_type() == at::kFloat && weight_.is_contiguous();
  if (plain) return by_rows(x);
  auto wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  if (bias_.defined()) wide = wide - wide.mean(-1, true);
  const auto y = (wide * at::rsqrt(wide.square().mean(-1, true) + epsilon_)).to(x.scalar_type()) * weight_;
  return bias_.defined() ? y + bias_ : y;
}

}  // namespace gw::inline language
