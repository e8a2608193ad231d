#include "models/routing_context.h"

#include <ATen/ATen.h>

#include "base/registry.h"

namespace gw {

int64_t ZooContext::narrow(int64_t width) const {
  return std::max<int64_t>(1, static_cast<int64_t>(shape.ratio * static_cast<double>(width)));
}

int64_t drawn_expert(const Rng& rng, const std::string& layer, int64_t experts, int64_t place) {
  return rng.fork("drawn").fork(layer).permutation(experts)[static_cast<size_t>(place)];
}

LayerRouter::LayerRouter(const ZooContext& context, int64_t channels, const std::string& name) : name_(name) {
  const Gate::Context gate{channels, context.shape.experts, Rng(context.shape.seed).fork(name).key()};
  gate_ = register_module("gate", make_part<Gate>("layer_gate", context.layer_gate, gate, 0));
  policy_ = make_part<Policy>("layer_policy", context.layer_policy, Policy::Context{context.shape.experts}, 0);
}

RoutingPlan LayerRouter::decide(const at::Tensor& batch, const ForwardPass& pass) {
  if (pass.forced_expert >= 0) return constant_plan(batch.size(0), policy_->experts(), pass.forced_expert);
  if (pass.drawn_place >= 0)
    return constant_plan(batch.size(0), policy_->experts(), drawn_expert(pass.rng, name_, policy_->experts(), pass.drawn_place));
  const Rng rng = pass.rng.fork(name_);
  RouterInputs inputs;
  inputs.rng = rng, inputs.step = pass.step;
  // A gate over tokens sees one per image: the mean of each channel.
  auto scores = gate_->score(gate_->takes_images() ? batch : batch.mean({2, 3}), inputs);
  if (!pass.straight_through) scores = scores.detach();
  return pass.tap->decide(policy_query(name_, pass.purpose, *policy_, scores, pass.train, rng));
}

Flow LayerRouter::forward(const Flow& x) {
  auto* pass = ForwardPass::current();
  GW_ENSURE(pass != nullptr, "layer router: called outside of Network::forward");
  const auto batch = leave(x);
  auto plan = decide(batch, *pass);
  auto arrangement = arrange(plan, pass->execution);
  pass->plans.push_back(std::move(plan));
  return enter(batch, std::move(arrangement));
}

ForwardPass*& ForwardPass::current() {
  thread_local ForwardPass* pass = nullptr;
  return pass;
}

}  // namespace gw
