#include "models/routing_context.h"

#include <ATen/ATen.h>

#include "base/registry.h"

namespace gw {

int64_t ZooContext::narrow(int64_t width) const {
  return std::max<int64_t>(1, static_cast<int64_t>(shape.ratio * static_cast<double>(width)));
}

LayerRouter::LayerRouter(const ZooContext& context, int64_t channels, const std::string& name) : name_(name) {
  const Gate::Context gate{channels, context.shape.experts, Rng(context.shape.seed).fork(name).key()};
  gate_ = register_module("gate", make_part<Gate>("layer_gate", context.layer_gate, gate, 0));
  check(gate_->takes_images(), "layer_gate: expected a gate over feature maps, got one over tokens; use pooled_linear or cnn");
  policy_ = make_part<Policy>("layer_policy", context.layer_policy, Policy::Context{context.shape.experts}, 0);
}

at::Tensor LayerRouter::scores_of(const at::Tensor& batch, bool recorded) {
  const auto scores = gate_->forward(batch);
  return recorded ? scores : scores.detach();
}

Flow LayerRouter::forward(const Flow& x) {
  auto* pass = ForwardPass::current();
  ensure(pass != nullptr, "layer router: called outside of Network::forward");
  const auto batch = leave(x);
  const int64_t experts = policy_->experts();
  auto plan = pass->forced_expert >= 0 ? constant_plan(batch.size(0), experts, pass->forced_expert)
                                       : policy_->plan(scores_of(batch, pass->straight_through), pass->train, pass->rng.fork(name_));
  auto arrangement = arrange(plan, pass->execution);
  pass->plans.push_back(std::move(plan));
  return enter(batch, std::move(arrangement));
}

ForwardPass*& ForwardPass::current() {
  thread_local ForwardPass* pass = nullptr;
  return pass;
}

}  // namespace gw
