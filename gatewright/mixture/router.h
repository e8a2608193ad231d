#pragma once
// Gate → policy → plan: the one place where routing decisions are made.
#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/gate.h"
#include "gatewright/routing/pass.h"
#include "gatewright/routing/policy.h"

namespace gw::inline mixture {

/// A gate, a policy and the balancers that watch them. Layers of tokens, routed convolutions and routers of
/// whole images decide through it; it is no module, so that each may name the parameters as its files do.
class Router {
 public:
  struct Options {
    int64_t experts = 2;
    int64_t width = 0;  ///< of a token, or channels
    PartChoice gate, policy;
    std::vector<PartChoice> balancers = {};
    uint64_t seed = 0;  ///< of the gate's initial weights
  };
  /// Errors: ValueError for unknown parts and options.
  explicit Router(const Options& options);
  /// Puts the gate under `gate_name` into `owner`, and what controllers adjust as buffers "policy_…" and
  /// "<balancer>_…".
  void register_in(torch::nn::Module& owner, const std::string& gate_name);

  /// Scores [T, E] of what the gate sees, or those that `inputs` bring. Errors: as gate_scores.
  at::Tensor scores(const at::Tensor& x, const RouterInputs& inputs) const;
  /// The plan of a pass: forced, drawn, or the policy's by way of the tap, with the balancers' losses in
  /// `aux` where the policy saw scores. `tokens`: how many decisions are due; `own_mode`: whether the layer
  /// trains where the pass does not say.
  /// Errors: as the policy; ValueError for another number of decisions, and for 4096 training passes without
  ///         end_step() where a controller waits for it.
  RoutingPlan decide(const std::string& site, const at::Tensor& scores, int64_t tokens,
                     const RouterInputs& inputs, const Pass& pass, bool own_mode);
  /// After an optimiser step: controllers (selection bias, adaptive coefficients) see the plans of all
  /// training passes since the last call as one batch. Nothing happens without controllers.
  void end_step();

  /// Lets the policy set its thresholds from scores of held-out tokens (Policy::calibrate).
  void calibrate(const at::Tensor& scores) { policy_->calibrate(scores); }

  /// This rank's tokens are part of a larger batch (decisions/006).
  void set_ranks(std::shared_ptr<const RankSum> ranks) { ranks_ = std::move(ranks); }
  /// What controllers adjust: buffers that keep their precision when a layer changes type.
  std::vector<at::Tensor> controlled_state() const;
  /// The passes since end_step(), as another router has them.
  void follow(const Router& other) { step_plans_ = other.step_plans_; }

  Gate& gate() const { return *gate_; }
  const Policy& policy() const { return *policy_; }
  int64_t experts() const { return policy_->experts(); }

 private:
  RoutingPlan chosen(const std::string& site, const at::Tensor& scores, const RouterInputs& inputs,
                     const Pass& pass, bool train) const;
  void remember(const RoutingPlan& plan);

  std::shared_ptr<Gate> gate_;
  std::shared_ptr<Policy> policy_;
  std::vector<std::pair<std::string, std::shared_ptr<Balancer>>> balancers_;
  std::vector<RoutingPlan> step_plans_;  ///< counts and detached probabilities, for controllers only
  bool controlled_ = false;
  std::shared_ptr<const RankSum> ranks_;
};

/// Place `place` of the random order of a layer's experts: distinct places are distinct experts, and layers
/// are independent.
int64_t drawn_expert(const Rng& rng, const std::string& layer, int64_t experts, int64_t place);

}  // namespace gw::inline mixture
