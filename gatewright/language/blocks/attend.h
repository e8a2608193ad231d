#pragma once
// Attention of one sequence.
#include <ATen/core/Tensor.h>

#include "gatewright/language/blocks/relative_bias.h"

namespace gw::inline language {

struct AttendOptions {
  double scale = 1;
  int64_t window = 0;  ///< tokens that a query sees, itself included; 0: all before it
  at::Tensor sink;     ///< [Hq] a score without a value in every softmax; undefined: none
  bool causal = true;  ///< false: every query sees every key, and there may be fewer keys than queries
  const RelativeBias* relative = nullptr;  ///< added to the scores; of H heads where Hq is a multiple
};

/// Math:   y_i = Σ_j p_ij v_j over j ≤ i (and j > i − window), or over all j; p_i = softmax_j(s_ij) with the
///         sink of the head among the scores, s_ij = scale·⟨q_i, k_j⟩ + bias of their distance.
/// Shapes: q [Hq, n, d] are the last n of S tokens; k [Hk, S, d] and v [Hk, S, dv] of Hk heads, each shared
///         by Hq / Hk neighbours of q → [Hq, n, dv]. Scores and sums of f32 (f64 stays); bf16 in and out.
/// Errors: ValueError for heads that do not divide and shapes that do not fit.
/// Cost:   2·Hq·n·S·(d + dv) flop, half of it where n = S, and backward 2.5 times as much, as scores are
///         computed again; memory: scores of 128 queries at a time, forward and backward (with `relative`
///         those of all queries where gradients are recorded).
/// Grad:   first order, to q, k, v and the sink; with `relative` recorded, to its table too.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttendOptions& options);

}  // namespace gw::inline language
