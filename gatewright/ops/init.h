#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/base/rng.h"

namespace gw::ops {

/// Kaiming-normal, fan-out, for ReLU: N(0, 2 / (out·k²)). Channels-last storage. Weight [out, in, k, k].
at::Tensor kaiming_conv(const Rng& rng, int64_t out, int64_t in, int64_t kernel);
/// PyTorch's default for convolutions and linear layers: U(−b, b), b = 1/√fan_in. `shape[0]` is the output
/// width.
at::Tensor default_uniform(const Rng& rng, at::IntArrayRef shape);

}  // namespace gw::ops
