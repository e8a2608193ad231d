#include "gatewright/models/routing_context.h"

#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {

int64_t ZooContext::narrow(int64_t width) const {
  return std::max<int64_t>(1, static_cast<int64_t>(shape.ratio * static_cast<double>(width)));
}

int64_t drawn_expert(const Rng& rng, const std::string& layer, int64_t experts, int64_t place) {
  return rng.fork("drawn").fork(layer).permutation(experts)[static_cast<size_t>(place)];
}

void check_policy_for_images(const Policy& policy) {
  const PolicyTraits traits = policy.traits();
  const char* wrong = traits.soft ? "soft slots" : traits.drops_tokens ? "drops tokens" : "";
  GW_CHECK(*wrong == '\0',
           "network: expected a policy that gives every image one expert, got one with the trait \"{}\"; "
           "take top1_straight_through, or "
           "options without a limit of rows",
           wrong);
  GW_CHECK(
      *traits.needs == '\0',
      "network: expected a policy that reads scores alone, got one that needs {}; take top1_straight_through",
      traits.needs);
  // Neither the number of experts per image nor the size of the weights is a trait: they show in plans of
  // scores near and far apart.
  for (const double deviation : {0.01, 1.0}) {
    const auto scores = ops::normal(Rng(0).fork("policy_for_images"),
                                    {16 * policy.experts(), policy.columns()}, 0, deviation);
    for (const bool train : {false, true}) check_one_expert_each(policy.plan(scores, train, Rng(0)));
  }
}

LayerRouter::LayerRouter(const ZooContext& context, int64_t channels, const std::string& name) : name_(name) {
  const Gate::Context gate{channels, context.shape.experts, Rng(context.shape.seed).fork(name).key()};
  gate_ = register_module("gate", make_part<Gate>("layer_gate", context.layer_gate, gate, 0));
  policy_ =
      make_part<Policy>("layer_policy", context.layer_policy, Policy::Context{context.shape.experts}, 0);
  check_policy_for_images(*policy_);
}

RoutingPlan LayerRouter::decide(const at::Tensor& batch, const ForwardPass& pass) {
  if (pass.forced_expert >= 0) return constant_plan(batch.size(0), policy_->experts(), pass.forced_expert);
  if (pass.drawn_place >= 0)
    return constant_plan(batch.size(0), policy_->experts(),
                         drawn_expert(pass.rng, name_, policy_->experts(), pass.drawn_place));
  const Rng rng = pass.rng.fork(name_);
  RouterInputs inputs;
  inputs.rng = rng, inputs.step = pass.step;
  // A gate over tokens sees one per image: the mean of each channel.
  auto scores = gate_scores(*gate_, gate_->takes_images() ? batch : batch.mean({2, 3}), inputs);
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

}  // namespace gw::inline models
