#pragma once
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// Convolution of stride 1 that keeps the size of its maps, for few channels: the lanes of a vector are
/// pixels, where libtorch's (oneDNN's) are channels and stay empty.
/// Math:   y = relu?(conv(x, weight) + bias), padding k / 2.
/// Shapes: x [B, C, H, W] in any layout, weight [O, C, k, k] with k = 1 or 3, bias [O] or undefined
///         → [B, O, H, W], contiguous. f32 on the CPU.
/// Grad:   x and weight, each only where asked for; none to bias.
/// Errors: ValueError for other shapes, dtypes, devices, a bias that wants a gradient, and second
/// derivatives. Cost:   2·B·O·C·k²·H·W flop forward and for each gradient. Keeps x where the weight wants a
/// gradient, and y
///         with a ReLU. Inputs in another layout are copied first.
/// Same bits for any number of threads; y and the gradient of x also for any split of the batch. The weight's
/// gradient sums each channel pair over groups of images (of a size that the shape fixes), then the groups in
/// order, in f64.
at::Tensor plane_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {},
                        bool relu = false);

/// Whether plane_conv2d takes the call and is the faster one; looks at shapes and types alone.
bool plane_conv2d_pays(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding);

}  // namespace gw::ops
