#pragma once
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// Whether row_product computes this linear layer sooner than libtorch, whose product takes some 4 µs of
/// calls for one row: up to 8 rows, a matrix of at most 65536 values, f32 on the CPU, no gradients, no
/// autocast.
bool row_product_pays(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// y = x·weightᵀ + bias for a few rows, each by itself.
/// Shapes: x [T, in], weight [out, in], bias [out] or undefined → y [T, out]; all f32 and contiguous.
/// Bits:   of a row, whatever the other rows are and at every level of the kernel; other sums than
/// libtorch's. Cost:   2·T·in·out flop on the calling thread; the weights are read once per row.
at::Tensor row_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace gw::ops
