#pragma once
#include "gatewright/base/error.h"
#include "gatewright/base/options.h"
#include "gatewright/routing/inputs.h"
#include "gatewright/routing/plan.h"
#include "gatewright/routing/traits.h"

namespace gw::inline routing {

class Policy;

/// A loss that keeps the load even or the scores small, or a controller that does so without one. The
/// coefficient is part of the value. The loss of a batch that came in micro-batches is that of merge_plans of
/// their plans; for a batch spread over ranks (plan.ranks) every rank's value is the whole batch's, and its
/// gradient that of its own tokens.
class Balancer {
 public:
  static constexpr const char* kKind = "balancers";
  struct Context {
    int64_t experts = 2;
  };
  virtual ~Balancer() = default;
  /// Shapes: plan.scores [T, E] → scalar; T = 0 gives 0. Grad: through the scores only, never through the
  ///         counts.
  virtual at::Tensor loss(const RoutingPlan& plan) const = 0;
  /// The value before the coefficient when load and probabilities are perfectly even, K experts per token.
  virtual double at_balance(int64_t experts, int64_t k) const = 0;
  /// The value before the coefficient when every token goes to one expert with probability one (K = 1).
  virtual double at_collapse(int64_t experts) const = 0;
  virtual double coefficient() const = 0;
  /// True for controllers: `update` does something.
  virtual bool controls() const { return false; }
  /// After a training step, with the plan of the whole batch: controllers adjust the policy's state or their
  /// own.
  virtual void update(const RoutingPlan& plan, const Policy& policy) { (void)plan, (void)policy; }
  /// A controller's own state, saved with the weights.
  virtual NamedTensors state() const { return {}; }
};

}  // namespace gw::inline routing
