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
      double sum = 0, squares = 0;
      for (int64_t i = 0; bias != nullptr && i < width; ++i) sum += a[i];
      const double mean = sum / static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) squares += (a[i] - mean) * (a[i] - mean);
      const double factor = 1 / std::sqrt(squares / static_cast<double>(width) + epsilon_);
      for (int64_t i = 0; i < width; ++i)
        to[r * width + i] =
            static_cast<float>((a[i] - mean) * factor) * weight[i] + (bias != nullptr ? bias[i] : 0);
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
