#pragma once
// Selection on the host: plain loops over [T, E], deterministic, lowest index first among equals.
#include <ATen/core/Tensor.h>

#include <string>

#include "gatewright/base/rng.h"

namespace gw::inline routing {

/// The K largest of each row, largest first, ties to the lowest index; −1 for scores at or below kMaskedScore
/// / 2.
/// Shapes: scores [T, E] f32 or f64 → [T, K] int64. Grad: none. Cost: O(T·E·log K) at worst, one pass over
///         the scores.
at::Tensor top_k(const at::Tensor& scores, int64_t k);

/// −1 for the experts [T, K] whose scores [T, E] are at or below kMaskedScore / 2. Cost: O(T·K).
void clear_masked(const at::Tensor& scores, at::Tensor& expert);

/// Tokens by decreasing value [T], ties to the lowest index.
at::Tensor by_priority(const at::Tensor& value);

/// Gives every expert its first `capacity` rows: all first choices before all second ones, tokens in `order`
/// (undefined: as they stand). What does not fit becomes −1, or goes to the best expert with room that the
/// token has not chosen, by `ranking` [T, E] (undefined: nowhere).
/// Shapes: expert [T, K] → [T, K]. Cost: O(T·K), plus O(E·log E) per row that moves.
at::Tensor limit_rows(const at::Tensor& expert, int64_t experts, int64_t capacity, const at::Tensor& order,
                      const at::Tensor& ranking);

/// Keeps the scores of the best groups of experts and fills the others. Group g holds experts g·E/G …
/// (g+1)·E/G; its score is the sum of its `best_of` largest. Ties: lowest group.
/// Shapes: scores [T, E] → [T, E]. Errors: ValueError unless G divides E, keep ≤ G and best_of ≤ E/G.
at::Tensor keep_groups(const char* part, const at::Tensor& scores, int64_t groups, int64_t keep,
                       int64_t best_of, double fill);

/// Scores to weights: "softmax", "sigmoid", "exp", "identity" or "relu". Masked experts get zero, except by
/// identity.
at::Tensor apply_score(const std::string& kind, const at::Tensor& scores);

/// Exactly one everywhere, with the gradient of E · p for probabilities p [T, E]: weights of experts that are
/// added up (Yang et al. 2025, arXiv 2503.02495; the gradient is ours).
at::Tensor union_weights(const at::Tensor& probability);

/// Rows scaled to sum one; a row of zeros stays zero.
at::Tensor normalised_rows(const at::Tensor& weight);

/// Softmax of logits [T, E] over the experts `over` [T, K'], at `kept` [T, K] (−1: no expert, weight 0).
/// Relative to the largest logit among `over`: relative to the row's, experts 104 below it have weight 0 in
/// f32, all of them perhaps.
at::Tensor chosen_softmax(const at::Tensor& logits, const at::Tensor& kept, const at::Tensor& over);

/// σ(s) over its sum per row, from log σ: the sigmoid itself is 0 in f32 below −104.
at::Tensor sigmoid_shares(const at::Tensor& scores);

/// Standard Gumbel draws −log(−log U), a pure function of the stream; U is kept off 0 and 1.
at::Tensor gumbel(const Rng& rng, at::IntArrayRef shape, at::ScalarType type);

}  // namespace gw::inline routing
