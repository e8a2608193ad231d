#pragma once
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// Whether row_product computes this linear layer: a matrix of at most 65536 values, f32 on the CPU, no
/// autocast. Never by the number of rows nor by what is recorded, so that a row has its bits in any case.
bool row_product_fits(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// y = x·weightᵀ + bias, each row by itself: libtorch's product takes 4 to 20 µs for one row.
/// Shapes: x [T, in], weight [out, in], bias [out] or undefined → y [T, out]; all f32 and contiguous.
/// Bits:   of a row, whatever the other rows are and at every level; other sums than libtorch's.
/// Grad:   of x, weight and bias, to any order. Cost: 2·T·in·out flop; the weights are read once per row.
at::Tensor row_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// ops::linear for what chooses experts: by row_product where that may, so that a token's scores, and with
/// them its experts, do not depend on the tokens beside it. Counted by CostRecorder.
at::Tensor linear_by_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace gw::ops
