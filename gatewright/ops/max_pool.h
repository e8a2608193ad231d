#pragma once
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// The largest of each 2×2 window; an incomplete window at the edge is left out. NaN wins.
/// Shapes: x [B, C, H, W] → [B, C, H / 2, W / 2].
/// Grad:   x, at the first largest value of each window.
/// Cost:   contiguous f32 maps on the CPU: 5 bytes per value of x forward, 9 backward; keeps x. Everything
/// else
///         is libtorch's, which writes positions of 8 bytes beside the answer.
/// Errors: ValueError from libtorch for other shapes; ours for second derivatives on the first way.
at::Tensor max_pool2(const at::Tensor& x);

}  // namespace gw::ops
