#pragma once
// Images that meet several pathways of a network.
#include "gatewright/routing/plan.h"
#include "gatewright/routing/policy.h"

namespace gw::inline models {

/// What is averaged of an image's pathways.
enum class Combine {
  kLogits,         ///< Σ_e w_e z_e
  kProbabilities,  ///< log Σ_e w_e softmax(z_e)
};

/// Errors: ValueError unless every image has a row, and the weights of its rows sum to one. Cost: O(N).
void check_averaged(const RoutingPlan& plan);
/// Errors: ValueError for a policy whose plans are refused so: by traits and by plans of drawn scores.
void check_policy_for_pathways(const Policy& policy);

/// Shapes: table [B, E, C] answers of each image's pathways, weight [B, E], 0 where it met none → [B, C].
/// The sum goes over experts in order: an image's answer does not depend on its batch. Gradients reach both.
at::Tensor combined_table(const at::Tensor& table, const at::Tensor& weight, Combine combine);
/// The same of answers [N, C] in the order of a plan's rows.
at::Tensor combined_answers(const at::Tensor& answers, const RoutingPlan& plan, Combine combine);

}  // namespace gw::inline models
