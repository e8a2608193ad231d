#pragma once

#include "gatewright/base/json.h"
#include "gatewright/mixture/buckets.h"
#include "gatewright/mixture/router.h"
#include "gatewright/models/network_shape.h"

namespace gw::inline models {

/// What a backbone of the zoo is built from.
struct ZooContext {
  NetworkShape shape;
  PartChoice layer_gate = "pooled_linear";            ///< gate of each layer when shape.routing is "layer"
  PartChoice layer_policy = "top1_straight_through";  ///< and its policy
  std::vector<PartChoice> balancers = {};  ///< of each layer's router when shape.routing is "layer"
  bool per_layer() const { return shape.experts > 1 && shape.routing == "layer"; }
  /// Batch norms of a layer: one, or one for each expert. `routed`: its convolution is.
  int64_t norms(bool routed) const {
    return (routed ? shape.own.norms : shape.own.stem_norms) ? shape.experts : 1;
  }
  int64_t heads() const { return shape.own.head ? shape.experts : 1; }
  Rng init() const { return Rng(shape.seed).fork("backbone"); }
  /// Channels of a pathway: int(ratio · width), at least 1.
  int64_t narrow(int64_t width) const;
};

/// Errors: ValueError for a policy that an image network cannot execute (gatewright/mixture/buckets.h),
///         before anything runs. Catches by traits and by plans of drawn scores; a plan that is wrong for
///         other scores alone is refused when it comes.
void check_policy_for_images(const Policy& policy);

/// The decision of one layer: its own gate on its own input.
class LayerRouter : public torch::nn::Module {
 public:
  LayerRouter(const ZooContext& context, int64_t channels, const std::string& name);
  /// The batch in the buckets that this layer wants; the plan is appended to the decisions of the pass.
  /// Errors: InternalError for a batch without a pass.
  BucketedBatch forward(const BucketedBatch& x);
  void end_step() { router_.end_step(); }

 private:
  std::string name_;
  Router router_;
};

}  // namespace gw::inline models
