#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace gw::ops {

struct TopK {
  at::Tensor expert;  ///< [T, K] int64, largest score first, the lower index first among equals
  at::Tensor weight;  ///< [T, K], with gradient to the scores
};

/// Score function, choice of the k largest and renormalisation in one pass.
/// Math:   weight_j = f(s)_{e_j} with f softmax (over all experts), sigmoid or identity, over Σ_j weight_j
///         when renormalise.
/// Shapes: scores [T, E] f32 or f64 on the CPU.
/// Errors: ValueError for k outside 1 … E, an unknown score function, NaN scores (names the token). A row of
///         -inf alone chooses the lowest indices, with softmax and sigmoid weights 0 and no gradient: weights
///         that sum to 0 are not divided by their sum.
/// Cost:   one read of the scores; backward one write of their gradient.
/// Grad:   through the chosen weights; the choice itself has none.
/// Same bits for any threads and any split of the tokens.
TopK top_k(const at::Tensor& scores, int64_t k, const std::string& score = "softmax",
           bool renormalise = false);

/// The gradient of the scores from that of top_k's weights, as top_k gave them. Cost: some passes over the
/// scores. Errors: none of its own.
at::Tensor top_k_backward(const at::Tensor& gradient, const at::Tensor& scores, const at::Tensor& expert,
                          const at::Tensor& weight, const std::string& score, bool renormalise);

/// Slots of expert ids [T, K] (-1: empty) sorted by expert, ties by slot, with the experts' offsets.
/// Errors: ValueError for ids outside [-1, E) and for an expert twice in a row. Deterministic.
at::Tensor sort_slots(const at::Tensor& expert, int64_t experts, std::vector<int64_t>& offsets);
/// The same into memory for T·K slots; returns how many are filled. For few tokens, whose tensors cost more.
int64_t sort_slots(const at::Tensor& expert, int64_t experts, std::vector<int64_t>& offsets, int64_t* slots);

}  // namespace gw::ops
