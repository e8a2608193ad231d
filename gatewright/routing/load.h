#pragma once
#include "gatewright/routing/plan.h"
#include "gatewright/routing/rank_sum.h"

namespace gw::inline routing {

/// Rows per expert, [E] float of the scores' type; a constant (no gradient).
at::Tensor load(const RoutingPlan& plan);
/// The same as a list of counts.
std::vector<int64_t> rows_per_expert(const RoutingPlan& plan);
/// Entropy of the load divided by ln E: 1 when even, 0 when all rows go to one expert; 1 for E = 1, 0 rows.
double load_entropy(const std::vector<int64_t>& rows);
double load_entropy(const RoutingPlan& plan);

/// Probabilities [T, E] that balance losses act on: those the policy published (sigmoid scores normalised,
/// shifted, …), else the softmax of the scores. Carries the gradient.
at::Tensor probabilities(const RoutingPlan& plan);
/// First choice of each token before capacity [T], −1: none; the best score where the policy did not say.
at::Tensor first_choices(const RoutingPlan& plan);
/// How many of `expert` [T] (−1: none) name each expert, [E] of the given type.
at::Tensor counts_of(const at::Tensor& expert, int64_t experts, at::ScalarType type);
/// A sum over the tokens of this rank → the same over the whole batch. Grad: that of this rank's tokens, so
/// that the ranks' gradients add up to the batch's.
at::Tensor over_ranks(const RoutingPlan& plan, const at::Tensor& local);
/// Tokens, and rows per expert [E], of the whole batch.
double batch_tokens(const RoutingPlan& plan);
at::Tensor batch_load(const RoutingPlan& plan);
/// 0 with a path to the scores: the loss of a plan without tokens.
at::Tensor zero_loss(const RoutingPlan& plan);

}  // namespace gw::inline routing
