#pragma once
#include "routing/plan.h"

namespace gw {

/// Rows per expert, [E] float of the scores' type; a constant (no gradient).
at::Tensor load(const RoutingPlan& plan);
/// Entropy of the load divided by ln E: 1 when even, 0 when all rows go to one expert; 1 for E = 1, 0 rows.
double load_entropy(const RoutingPlan& plan);

/// Probabilities [T, E] that balance losses act on: those the policy published (sigmoid scores normalised, shifted, …), else
/// the softmax of the scores. Carries the gradient.
at::Tensor probabilities(const RoutingPlan& plan);
/// First choice of each token before capacity [T], −1: none; the best score where the policy did not say.
at::Tensor first_choices(const RoutingPlan& plan);
/// How many of `expert` [T] (−1: none) name each expert, [E] of the given type.
at::Tensor counts_of(const at::Tensor& expert, int64_t experts, at::ScalarType type);
/// 0 with a path to the scores: the loss of a plan without tokens.
at::Tensor zero_loss(const RoutingPlan& plan);

}  // namespace gw
