#pragma once
// Matrix products of tokens.
#include <torch/nn/module.h>

#include "gatewright/base/rng.h"

namespace gw::inline language {

/// y = x·Wᵀ + b.
/// Shapes: x [N, in] → [N, out], W [out, in]; in and out in the type of W.
class Projection : public torch::nn::Module {
 public:
  /// `drawn` false: memory that a checkpoint will fill, else normal values of the deviation 1/√in.
  Projection(int64_t in, int64_t out, bool bias, const Rng& rng, bool drawn);
  at::Tensor forward(const at::Tensor& x) const;
  const at::Tensor& weight() const { return weight_; }

 private:
  at::Tensor weight_, bias_;
};

}  // namespace gw::inline language
