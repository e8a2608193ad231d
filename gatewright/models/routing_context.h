#pragma once
#include <nlohmann/json.hpp>

#include "gatewright/models/flow.h"
#include "gatewright/routing/gate.h"
#include "gatewright/routing/policy.h"
#include "gatewright/routing/route_tap.h"

namespace gw::inline models {

/// What a backbone of the zoo is built from.
struct ZooContext {
  NetworkShape shape;
  Json layer_gate = "pooled_linear";            ///< gate of each layer when shape.routing is "layer"
  Json layer_policy = "top1_straight_through";  ///< and its policy
  bool per_layer() const { return shape.experts > 1 && shape.routing == "layer"; }
  Rng init() const { return Rng(shape.seed).fork("backbone"); }
  /// Channels of a pathway: int(ratio · width), at least 1.
  int64_t narrow(int64_t width) const;
};

struct ForwardPass;

/// Errors: ValueError for a policy that an image network cannot execute (gatewright/models/flow.h), before
///         anything runs. Catches by traits and by
/// plans of drawn scores; a plan that is wrong for other scores alone is refused when it comes.
void check_policy_for_images(const Policy& policy);

/// The decision of one layer: its own gate on its own input.
class LayerRouter : public torch::nn::Module {
 public:
  LayerRouter(const ZooContext& context, int64_t channels, const std::string& name);
  /// The flow in the arrangement that this layer wants; the plan is appended to the decisions of the pass.
  Flow forward(const Flow& x);

 private:
  RoutingPlan decide(const at::Tensor& batch, const ForwardPass& pass);

  std::string name_;
  std::shared_ptr<Gate> gate_;
  std::shared_ptr<Policy> policy_;
};

/// Place `place` of the random order of a layer's experts: distinct places are distinct experts, and layers
/// are independent.
int64_t drawn_expert(const Rng& rng, const std::string& layer, int64_t experts, int64_t place);

/// What holds for one forward pass, for layers deep inside: per thread, set by Network.
struct ForwardPass {
  bool train = false;
  Execution execution = Execution::kSparse;
  int64_t forced_expert = -1;
  int64_t drawn_place = -1;
  bool straight_through = true;
  Rng rng{0};
  int64_t step = -1;        ///< training steps done; -1: not said
  RouteTap* tap = nullptr;  ///< never null during a pass
  RoutePurpose purpose = RoutePurpose::kClean;
  std::vector<RoutingPlan> plans;

  static ForwardPass*& current();
};

}  // namespace gw::inline models
