#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gw::ops {

/// What Adam is told once.
struct AdamRule {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

/// One step of Adam, number `step` from 1, on a parameter and its moments, in place.
/// Math:   m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; θ ← θ − lr·m̂ / (√v̂ + ε), m̂ = m / (1−β1^t), v̂ = v /
///         (1−β2^t).
/// Shapes: all of one shape. f32 on the CPU that lies dense goes in one pass of 28 bytes a value
///         (gatewright/kernels/adam), anything else by libtorch's operations.
/// Bits:   of a value from its own numbers alone, whatever the threads.
/// Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.
void adam_step(const AdamRule& rule, double lr, int64_t step, const at::Tensor& gradient, at::Tensor& value,
               at::Tensor& first, at::Tensor& second);

}  // namespace gw::ops
