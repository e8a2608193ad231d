#pragma once
// Norms of a token's vector.
#include <torch/nn/module.h>

namespace gw::inline language {

/// y = w ∘ x / sqrt(mean(x²) + ε), or with `centred` w ∘ (x − mean) / sqrt(variance + ε) + b.
/// Shapes: x [..., width] of any floating type; computed in f32 (f64 stays), rounded to the type of x.
/// Source: Zhang and Sennrich 2019, arXiv 1910.07467; Ba et al. 2016, arXiv 1607.06450.
class TokenNorm : public torch::nn::Module {
 public:
  TokenNorm(int64_t width, double epsilon, bool centred = false);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor by_rows(const at::Tensor& x) const;

  at::Tensor weight_, bias_;
  double epsilon_;
};

}  // namespace gw::inline language
