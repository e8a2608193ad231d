#pragma once
// The one value that travels between gate, policy and execution.
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gw::inline routing {

class RankSum;

/// What balancers and records may need of a decision beside the scores, with a row for each of T tokens.
/// Undefined where a policy or a caller has nothing to say.
struct RoutingFacts {
  at::Tensor probability;        ///< [T, E]; undefined: the softmax of the scores
  at::Tensor logits, noise_std;  ///< [T, E], of noisy scores: before the noise, and its standard deviation
  at::Tensor first_choice;       ///< [T] int64, before capacity; −1: none
  at::Tensor sequence, task;     ///< [T] int64, ids

  /// Calls body(member) for each of them: &RoutingFacts::probability …
  template <class Body>
  static void each(Body body) {
    for (const auto member : {&RoutingFacts::probability, &RoutingFacts::logits, &RoutingFacts::noise_std,
                              &RoutingFacts::first_choice, &RoutingFacts::sequence, &RoutingFacts::task})
      body(member);
  }
};

/// Who goes where, with which weight. Rows are sorted by expert, ties by token index.
/// Shapes: `offsets` [E+1] (host), `token` [N] int64, `weight` [N] (carries the gradient to the gate),
///         `scores` [T, E] as the policy saw them (undefined for given routes).
/// A soft plan (Soft MoE) fills slots instead: row n is the mixture Σ_t dispatch_nt x_t, and token t receives
/// Σ_n combine_tn y_n. It has the same offsets; `token` is −1 and `weight` 1 in every row.
struct RoutingPlan {
  std::vector<int64_t> offsets;
  at::Tensor token;
  at::Tensor weight;
  at::Tensor scores;
  std::map<std::string, at::Tensor>
      aux;  ///< named auxiliary losses, each a scalar with its coefficient applied
  int64_t tokens = 0;
  at::Tensor bypass;  ///< [T] share of x that passes unchanged, where overflow does; undefined: none
  at::Tensor dispatch, combine;  ///< soft plans: [N, T] and [T, N]; undefined otherwise
  RoutingFacts facts;
  std::shared_ptr<const RankSum>
      ranks;  ///< the batch has further parts on other ranks, which balancers count in; null: it has none

  int64_t experts() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t rows() const { return offsets.back(); }
  int64_t rows_of(int64_t expert) const {
    return offsets[static_cast<size_t>(expert) + 1] - offsets[static_cast<size_t>(expert)];
  }
  bool soft() const { return dispatch.defined(); }
};

/// A plan and which layer decided: "router", "stage2_1.conv1", "mixture0".
struct SitedPlan {
  std::string site;
  RoutingPlan plan;
};

/// Builds a plan from chosen experts.
/// Shapes: expert [T, K] int64 (−1: the slot is empty), weight [T, K] → plan over E experts.
/// Errors: ValueError for an id outside [−1, E), a wrong shape, or two equal ids in one row.
/// Cost:   O(T·K + E), one stable counting sort; deterministic.
RoutingPlan make_plan(const at::Tensor& expert, const at::Tensor& weight, int64_t experts);

/// Builds a plan from experts that chose tokens.
/// Shapes: token [E, C] int64 (−1: the slot is empty), weight [E, C] → plan over E experts of T tokens.
/// Errors: ValueError for an id outside [−1, T), a wrong shape, or two equal ids in one row.
RoutingPlan make_expert_plan(const at::Tensor& token, const at::Tensor& weight, int64_t tokens);

/// Every token to one expert: forced pathways, dense networks (E = 1).
RoutingPlan constant_plan(int64_t tokens, int64_t experts, int64_t expert);

/// The plan of the union of batches, tokens in the given order: what a balance loss must see when a batch
/// comes in micro-batches or from several ranks. Auxiliary losses are not merged (the mean of means is
/// another number).
/// Errors: ValueError for no plans, differing E, or soft plans (their softmax runs over the whole batch).
RoutingPlan merge_plans(const std::vector<RoutingPlan>& plans);

/// The first chosen expert of each token [T] int64; −1 where a token has none. Soft plans: the expert of
/// largest weight.
at::Tensor chosen_experts(const RoutingPlan& plan);

/// Expert of each row [N] int64.
at::Tensor expert_of_rows(const RoutingPlan& plan);

/// The weights as a matrix [T, E], zero where a token does not go; carries the gradient. Soft plans: summed
/// over slots.
at::Tensor dense_weights(const RoutingPlan& plan);

/// Throws InternalError unless offsets are monotone, rows sorted and ids in range: for tests and debug
/// builds.
void validate_plan(const RoutingPlan& plan);

}  // namespace gw::inline routing
