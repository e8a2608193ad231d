#pragma once
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// One-hot of the largest score, with the gradient of the identity.
/// Math:   y[b, e] = 1 if e is the lowest index of max(scores[b]), else 0; dscores = dy.
/// Shapes: scores [B, E], f32 or f64, E > 0 → [B, E].
/// Errors: ValueError for another shape or dtype, or a NaN (which has no place in an order).
/// Source: Bengio et al. 2013, arXiv 1308.3432.
at::Tensor straight_through_one_hot(const at::Tensor& scores);

/// Rows times their route's weight.
/// Math:   y_i = weight_i · x_i; dx_i = weight_i · dy_i, dweight_i = Σ dy_i · x_i (only where asked for).
///         With `weight_is_one` (hard routes) y is x itself and dx is dy, no pass over either; dweight is the
///         same.
/// Shapes: x [n, …] (channels-last stays so), weight [n], both f32 or both f64 → like x. n = 0 allowed.
/// Errors: ValueError for other shapes, differing dtypes, or a backward pass that asks for second
///         derivatives.
/// Cost:   bytes for N f32 values: forward 8·N (+4·N to own the written lines), backward 8·N (+4·N) for x and
///         8·N for the weight.
/// The sums of dweight are 16 interleaved partial sums per row, added in order: the same bits for any number
/// of threads.
at::Tensor apply_route_weight(const at::Tensor& x, const at::Tensor& weight, bool weight_is_one);

}  // namespace gw::ops
