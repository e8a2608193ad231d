#pragma once
// The two seams at which distribution and offload act. Defaults do nothing: rows stay here, weights are
// resident.
#include "gatewright/routing/plan.h"

namespace gw::inline mixture {

/// Moves routed rows to where their experts live, and answers back.
class TokenExchange {
 public:
  virtual ~TokenExchange() = default;
  /// Rows sorted by expert → rows for the experts that live here, with their offsets.
  virtual at::Tensor dispatch(const at::Tensor& rows, const RoutingPlan& plan,
                              std::vector<int64_t>& offsets) {
    offsets = plan.offsets;
    return rows;
  }
  /// The experts' answers → rows in the order that `dispatch` received.
  virtual at::Tensor collect(const at::Tensor& answers, const RoutingPlan&) { return answers; }
};

/// Makes the weights of the planned experts available before they run, and may drop them afterwards.
class WeightStore {
 public:
  virtual ~WeightStore() = default;
  virtual void acquire(const std::vector<int64_t>& /*offsets*/) {}
  virtual void release(const std::vector<int64_t>& /*offsets*/) {}
};

}  // namespace gw::inline mixture
