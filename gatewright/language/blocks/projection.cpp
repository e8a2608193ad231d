#include "gatewright/language/blocks/projection.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {

Projection::Projection(int64_t in, int64_t out, bool bias, const Rng& rng, bool drawn)
    : torch::nn::Module("Projection") {
  const double deviation = 1 / std::sqrt(static_cast<double>(in));
  weight_ =
      register_parameter("weight", drawn ? ops::normal(rng, {out, in}, 0, deviation) : at::empty({out, in}));
  if (bias) bias_ = register_parameter("bias", at::zeros({out}));
}

at::Tensor Projection::forward(const at::Tensor& x) const { return ops::linear(x, weight_, bias_); }

}  // namespace gw::inline language
