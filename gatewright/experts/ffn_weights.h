#pragma once
// The weights of a bank of perceptrons: made, found by name, rounded.
#include <torch/nn/module.h>

#include "gatewright/base/rng.h"
#include "gatewright/ops/moe_ffn.h"

namespace gw::inline experts {

/// Initial weights [E, out, in], U(−1/√in, 1/√in), a stream for each expert; not `drawn`: memory as it is.
at::Tensor stacked_uniform(const Rng& rng, int64_t experts, int64_t out, int64_t in, bool drawn = true);

/// The parameters w1, b1, w2, b2, wg, bg and activation among a module's as they are now: Module::to()
/// replaces what a parameter holds, so they are asked for by name.
ops::FfnWeights named_weights(const torch::OrderedDict<std::string, at::Tensor>& all);
/// The same from outside of the module. Cost: a list of its names.
ops::FfnWeights named_weights(const torch::nn::Module& module);

/// Copies in bf16. Grad: arrives in the type of `w`. Cost: one read of all weights, and a write of half as
/// much.
ops::FfnWeights in_bf16(ops::FfnWeights w);

}  // namespace gw::inline experts
