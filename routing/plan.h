#pragma once
// The one value that travels between gate, policy and execution.
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace gw {

/// Who goes where, with which weight. Rows are sorted by expert, ties by token index.
/// Shapes: `offsets` [E+1] (host), `token` [N] int64, `weight` [N] (carries the gradient to the gate),
///         `scores` [T, E] as the policy saw them (undefined for given routes).
struct RoutingPlan {
  std::vector<int64_t> offsets;
  at::Tensor token;
  at::Tensor weight;
  at::Tensor scores;
  std::map<std::string, at::Tensor> aux;  ///< named auxiliary losses, each a scalar with its coefficient applied
  int64_t tokens = 0;

  int64_t experts() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t rows() const { return offsets.back(); }
  int64_t rows_of(int64_t expert) const { return offsets[static_cast<size_t>(expert) + 1] - offsets[static_cast<size_t>(expert)]; }
};

/// Builds a plan from chosen experts.
/// Shapes: expert [T, K] int64 (−1: the slot is empty), weight [T, K] → plan over E experts.
/// Errors: ValueError for an id outside [−1, E), a wrong shape, or two equal ids in one row.
/// Cost:   O(T·K + E), one stable counting sort; deterministic.
RoutingPlan make_plan(const at::Tensor& expert, const at::Tensor& weight, int64_t experts);

/// Every token to one expert: forced pathways, dense networks (E = 1).
RoutingPlan constant_plan(int64_t tokens, int64_t experts, int64_t expert);

/// The first chosen expert of each token [T] int64; −1 where a token has none.
at::Tensor chosen_experts(const RoutingPlan& plan);

/// Throws InternalError unless offsets are monotone, rows sorted and ids in range: for tests and debug builds.
void validate_plan(const RoutingPlan& plan);

}  // namespace gw
