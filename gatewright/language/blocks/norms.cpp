#include "gatewright/language/blocks/norms.h"

#include <ATen/ATen.h>

namespace gw::inline language {

TokenNorm::TokenNorm(int64_t width, double epsilon, bool centred)
    : torch::nn::Module("TokenNorm"), epsilon_(epsilon) {
  weight_ = register_parameter("weight", at::ones({width}));
  if (centred) bias_ = register_parameter("bias", at::zeros({width}));
}

at::Tensor TokenNorm::forward(const at::Tensor& x) const {
  auto wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  if (bias_.defined()) wide = wide - wide.mean(-1, true);
  const auto y = (wide * at::rsqrt(wide.square().mean(-1, true) + epsilon_)).to(x.scalar_type()) * weight_;
  return bias_.defined() ? y + bias_ : y;
}

}  // namespace gw::inline language
