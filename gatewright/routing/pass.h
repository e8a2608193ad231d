#pragma once
// What one forward pass depends on beside its batch and the weights.
#include <optional>

#include "gatewright/routing/inputs.h"
#include "gatewright/routing/route_tap.h"

namespace gw::inline routing {

/// Handed down from the caller to every layer that decides, so that two threads may run one model at the same
/// time with different draws, taps and modes. Nothing a pass depends on is a state of the thread.
/// Training passes write what training is about (running statistics, selection biases, temperatures): of
/// those a model can do one at a time.
struct Pass {
  Rng rng{0};         ///< for policies that draw: passes of one stream draw the same, so fork one per step
  int64_t step = -1;  ///< training steps done; −1: not said
  RoutePurpose purpose = RoutePurpose::kClean;  ///< what the tap is told that this pass is for
  RouteTap* tap = nullptr;    ///< sees and may replace every decision of this pass; null: nobody does
  std::optional<bool> train;  ///< training or evaluation; absent: what each module's own mode says
  bool losses = true;         ///< false: nobody reads the plans' balance losses, and none is computed

  int64_t forced_expert = -1;  ///< ≥ 0: everything to this expert, no router
  int64_t random_expert = -1;  ///< ≥ 0: everything to the experts at this place of a random order that `rng`
                               ///< gives each layer, no router
  bool routes_given() const { return forced_expert >= 0 || random_expert >= 0; }
  bool training(bool own_mode) const { return train.value_or(own_mode); }
  /// What is known about the tokens, with what this pass says: the draws `draws`, its step and its mode.
  RouterInputs told(RouterInputs facts, const Rng& draws) const {
    facts.rng = draws, facts.step = step;
    if (train) facts.train = train;
    return facts;
  }
};

}  // namespace gw::inline routing
