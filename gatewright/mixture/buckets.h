#pragma once
// A batch on its way through a network: one tensor per expert bucket. The samples are sorted once per
// decision; layers work on the buckets as they are, and only batch norm couples them.
#include <memory>
#include <vector>

#include "gatewright/mixture/execute.h"
#include "gatewright/ops/conv_norm.h"
#include "gatewright/routing/pass.h"

namespace gw::inline mixture {

/// The index of a batch: which expert each part meets, and where each row came from.
struct BucketIndex : ops::PartRoutes {
  int64_t batch = 0;
  std::vector<int64_t> sizes;  ///< rows of each part
  at::Tensor token;            ///< [B] original position of each row; undefined: rows stand in original order
  at::Tensor inverse;          ///< [B] row of each original position; undefined likewise
};

/// One forward pass through layers that may decide anew on the way.
struct BucketedPass {
  Pass pass;
  bool training = false;  ///< the network's own mode
  Execution execution = Execution::kBucketed;
  bool straight_through = true;  ///< false: the answer carries no gradient through the choice of experts
  std::vector<SitedPlan> plans;  ///< of the layers that have decided
};

struct BucketedBatch {
  std::vector<at::Tensor> parts;  ///< [n_i, C, H, W], Σ n_i = B, none empty unless B = 0
  std::shared_ptr<const BucketIndex> index;
  BucketedPass* pass = nullptr;  ///< outlives the batch; null: every layer by its own mode, and none decides

  std::optional<bool> train() const { return pass != nullptr ? pass->pass.train : std::nullopt; }
};

/// Errors: ValueError unless every image has exactly one row, of weight 1: what image networks can execute.
///         Cost: O(B).
void check_one_expert_each(const RoutingPlan& plan);
/// Sorts a batch into buckets by plan. Errors: as check_one_expert_each. Dense, masked and merged execution
/// keep one part in original order; merged takes any weights and numbers of experts, but no soft slots. Cost:
/// one gather of x; nothing for E = 1 or when the rows already stand in order.
std::shared_ptr<const BucketIndex> index_buckets(const RoutingPlan& plan, Execution execution);
BucketedBatch into_buckets(const at::Tensor& x, std::shared_ptr<const BucketIndex> index,
                           BucketedPass* pass = nullptr);
/// Rows in original order. Cost: one concatenation and one gather, skipped when there is nothing to undo.
at::Tensor out_of_buckets(const BucketedBatch& batch);
/// The same rows in another index; free when it is the same one.
BucketedBatch rebucketed(const BucketedBatch& batch, const std::shared_ptr<const BucketIndex>& index);
/// Applies a function to every part: pooling, activations.
template <class F>
BucketedBatch each_bucket(const BucketedBatch& batch, F&& function) {
  BucketedBatch out{{}, batch.index, batch.pass};
  out.parts.reserve(batch.parts.size());
  for (const auto& part : batch.parts) out.parts.push_back(function(part));
  return out;
}

}  // namespace gw::inline mixture
