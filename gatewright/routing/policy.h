#pragma once
#include "gatewright/base/error.h"
#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"
#include "gatewright/routing/inputs.h"
#include "gatewright/routing/plan.h"
#include "gatewright/routing/traits.h"

namespace gw::inline routing {

/// Who is chosen: maps scores [T, E] to a plan. Deterministic given (scores, rng); ties go to the lowest
/// index.
/// Errors: ValueError for NaN or infinite scores and for options that do not fit E (K > E).
class Policy {
 public:
  static constexpr const char* kKind = "policies";
  struct Context {
    int64_t experts = 2;
  };
  virtual ~Policy() = default;
  virtual RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const = 0;
  /// The same with what is known about the tokens; policies that need none of it inherit this.
  virtual RoutingPlan plan_for(const at::Tensor& scores, const RouterInputs& inputs, bool train) const {
    return plan(scores, train, inputs.rng.value_or(Rng(0)));
  }
  virtual int64_t experts() const = 0;
  /// A plan over given experts [T, K] int64 (−1: empty slot), weighed and differentiable as if the policy had
  /// chosen them: replay.
  /// Where the experts are those that `plan` would choose, the result is the same to the bit.
  /// Errors: ValueError if the policy cannot weigh experts that it did not choose.
  virtual RoutingPlan plan_given(const at::Tensor& /*scores*/, const at::Tensor& /*expert*/, bool /*train*/,
                                 const Rng& /*rng*/) const {
    throw ValueError(
        "policy: expected one that can weigh given routes, got one that weighs its own only; record the "
        "weights too (weights = true)");
  }
  /// Columns that it wants of the gate: E, unless a paper's router scores more than experts (noise,
  /// thresholds, slots).
  virtual int64_t columns() const { return experts(); }
  /// With the options at hand; a part's `kTraits` are those of its defaults.
  virtual PolicyTraits traits() const { return {}; }
  /// Whether a threshold of the choice in evaluation is to be set from scores of held-out tokens.
  virtual bool wants_calibration() const { return false; }
  /// Sets it (kept in `state`). Shapes: scores [T, E], T ≥ 1. Nothing for policies without one.
  virtual void calibrate(const at::Tensor& /*scores*/) {}
  /// What controllers adjust between steps or a calibration sets (the selection bias, a
  /// threshold); saved with the weights.
  virtual NamedTensors state() const { return {}; }
};

/// Checks shape [T, E], finiteness, and that every token may see an expert; the message names `part`, the row
/// and the value.
void check_scores(const char* part, const at::Tensor& scores, int64_t experts);

}  // namespace gw::inline routing
