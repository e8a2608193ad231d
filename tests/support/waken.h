#pragma once
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/nn/module.h>

#include "gatewright/ops/random.h"

namespace gw::test {

/// Draws weights that start at zero (those of adapters do), which would hide every mistake: the same for the
/// same sizes.
inline void waken(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (auto& weight : module.parameters()) {
    if (!weight.any().item<bool>()) weight.copy_(ops::normal(Rng(7), weight.sizes(), 0, 0.5));
  }
}

}  // namespace gw::test
