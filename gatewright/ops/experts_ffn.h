#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <string>

#include "gatewright/ops/moe_ffn.h"

namespace gw::ops {

/// Experts in the stacks in which published models keep them. `layout` of H hidden values and D inputs:
///   cat            first [E, 2H, D], gate rows before up rows      up     first [E, H, D], no gate
///   interleaved    first [E, 2H, D], gate and up rows by turns
///   cat_t, interleaved_t, up_t     the same transposed: first [E, D, 2H] or [E, D, H], down [E, H, O]
/// down [E, O, H]; biases [E, 2H] (by turns where the rows are) or [E, H], and [E, O], or undefined.
struct ExpertStacks {
  at::Tensor first, down, first_bias, down_bias;
  std::string layout = "cat";
};
/// Views of the stacks, no copies. Errors: ValueError for an unknown layout, other dimensions, an odd 2H.
FfnWeights expert_views(const ExpertStacks& stacks);

/// Rows of ids [T, K] int64 sorted by expert, ties by slot. An id of `experts` or more has no row; the same
/// id twice has two.
struct RouteRows {
  std::vector<int64_t> offsets;  ///< [E + 1]
  at::Tensor slot;               ///< [N] int64 in [0, T·K)
  int64_t per_token = 1;         ///< K
  at::Tensor token() const;      ///< [N] int64, slot / K
};
/// Errors: ValueError for other shapes and types, and negative ids.
RouteRows route_rows(const at::Tensor& index, int64_t experts);

struct ExpertsForward {
  at::Tensor y;  ///< [T, O] in the type of x
  at::Tensor
      kept;  ///< [T·K, 2H] (H without gate) for the backward pass, in an order of its own; [0] without `keep`
};
struct ExpertsGradients {
  at::Tensor x, weight, first, down, first_bias,
      down_bias;  ///< shaped and typed as the inputs; undefined: not wanted
};

/// moe_ffn for those who hold ids instead of a plan and fused stacks instead of three: the expert function of
/// published models.
/// Math:   y_t = Σ_k weight_tk · expert_index_tk(x_t); ids ≥ E add nothing, forward or backward.
/// Shapes: x [T, D], index [T, K] int64, weight [T, K] of any floating type. The arithmetic is that of the
///         stacks' type (f32, bf16 or f64); x may have another, and y and every gradient have that of what
///         they belong to. `token` [R] int64: index and weight are [R, K], and row r stands for token[r]
///         instead of for r: plans of any kind.
/// Errors: ValueError as moe_ffn and route_rows.
/// Cost:   moe_ffn's. Stacks are read, and their gradients written, where they lie. In `interleaved_t` alone
///         neither dimension lies together: its values are brought together tile by tile.
/// Same bits for any threads; backward with `kept` of another call with the same inputs, or empty (computed
/// again), too.
ExpertsForward experts_ffn(const at::Tensor& x, const at::Tensor& index, const at::Tensor& weight,
                           const ExpertStacks& stacks, const FfnOptions& options, bool keep,
                           const PackedFfn& packed = {}, const at::Tensor& token = {});
/// `wanted`: in the order of ExpertsGradients. dy [T, O] of any floating type and strides.
ExpertsGradients experts_ffn_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& index,
                                      const at::Tensor& weight, const ExpertStacks& stacks,
                                      const FfnOptions& options, const at::Tensor& kept,
                                      const std::array<bool, 6>& wanted, const at::Tensor& token = {});

}  // namespace gw::ops
