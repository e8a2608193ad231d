#pragma once
// A batch on its way through a network: one tensor per expert bucket. The samples are sorted once per
// decision; layers work on the buckets as they are, and only batch norm couples them.
#include <memory>
#include <vector>

#include "gatewright/models/network_shape.h"
#include "gatewright/ops/conv_norm.h"
#include "gatewright/routing/plan.h"

namespace gw::inline models {

/// The arrangement of a batch: which expert each part meets, and where each row came from.
struct Arrangement : ops::PartRoutes {
  int64_t batch = 0;
  std::vector<int64_t> sizes;  ///< rows of each part
  at::Tensor token;            ///< [B] original position of each row; undefined: rows stand in original order
  at::Tensor inverse;          ///< [B] row of each original position; undefined likewise
};

struct Flow {
  std::vector<at::Tensor> parts;  ///< [n_i, C, H, W], Σ n_i = B, none empty unless B = 0
  std::shared_ptr<const Arrangement> arrangement;
};

/// Errors: ValueError unless every image has exactly one row, of weight 1: what image networks can execute.
///         Cost: O(B).
void check_one_expert_each(const RoutingPlan& plan);
/// Sorts a batch into buckets by plan. Errors: as check_one_expert_each. Dense or masked execution keeps one
/// part in original order.
/// Cost: one gather of x; nothing for E = 1 or when the rows already stand in order.
std::shared_ptr<const Arrangement> arrange(const RoutingPlan& plan, Execution execution);
Flow enter(const at::Tensor& x, std::shared_ptr<const Arrangement> arrangement);
/// Rows in original order. Cost: one concatenation and one gather, skipped when there is nothing to undo.
at::Tensor leave(const Flow& flow);
/// The same rows in another arrangement; free when it is the same one.
Flow rearrange(const Flow& flow, const std::shared_ptr<const Arrangement>& arrangement);
/// Applies a function to every part: pooling, activations.
template <class F>
Flow map(const Flow& flow, F&& function) {
  Flow out{{}, flow.arrangement};
  out.parts.reserve(flow.parts.size());
  for (const auto& part : flow.parts) out.parts.push_back(function(part));
  return out;
}

}  // namespace gw::inline models
