#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/base/rng.h"

namespace gw::ops {

/// Uniform on [lo, hi) / standard normal, as a pure function of the stream: independent of thread count and
/// of the global generator. Cost: one sequential pass (a private Mersenne twister seeded from the stream's
/// key).
at::Tensor uniform(const Rng& rng, at::IntArrayRef shape, double lo, double hi);
at::Tensor normal(const Rng& rng, at::IntArrayRef shape, double mean, double deviation);

}  // namespace gw::ops
