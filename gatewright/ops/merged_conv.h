#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/ops/conv.h"

namespace gw::ops {

/// A convolution whose kernels are merged for every image: all experts serve at the price of one.
/// Math:   y_b = relu?(Σ_e mixing_be · conv(x_b, W_e) + bias) = relu?(conv(x_b, Σ_e mixing_be W_e) + bias).
/// Shapes: x [B, C, H, W] in any layout, mixing [B, E], weight [E·w, C, k, k] (expert e owns rows e·w …
///         (e+1)·w), bias [w] or undefined → [B, w, H', W'].
/// Grad:   x, mixing and weight, each only where asked for; none to bias, which must not want one.
/// Errors: ValueError for shapes that do not fit.
/// Cost:   2·w·C·k²·(H'·W' + E) flop for each image, whatever else E is. On channel planes
///         (gatewright/ops/plane_conv2d.h) for f32 on the CPU, stride 1 and k = 1 or 3; else the kernels of
///         the batch are written out (B·w·C·k² values) and libtorch convolves in B groups.
/// Bits:   on planes y and the gradients of x and mixing depend on their own image alone, and the weight's
/// sums
///         go over chunks of 16 images, in order: independent of threads.
/// Source: Yang et al. 2019, arXiv 1904.04971 (CondConv).
at::Tensor merged_conv2d(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& weight,
                         ConvShape shape, const at::Tensor& bias = {}, bool relu = false);

}  // namespace gw::ops
