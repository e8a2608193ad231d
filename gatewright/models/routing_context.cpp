#include "gatewright/models/routing_context.h"

#include <ATen/ATen.h>

#include <array>
#include <string>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/step_log.h"

namespace gw::inline models {

int64_t ZooContext::narrow(int64_t width) const {
  return std::max<int64_t>(1, static_cast<int64_t>(shape.ratio * static_cast<double>(width)));
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

namespace {

Router::Options layer_options(const ZooContext& context, int64_t channels, const std::string& name) {
  return {context.shape.experts, channels,          context.layer_gate,
          context.layer_policy,  context.balancers, Rng(context.shape.seed).fork(name).key()};
}

constexpr std::array<const char*, 3> kPointwise{"sigmoid", "relu", "identity"};

const ops::ActivationFunction& pointwise(size_t place) {
  static const std::array<ops::ActivationFunction, 3> functions{
      {{"layer router", kPointwise[0]}, {"layer router", kPointwise[1]}, {"layer router", kPointwise[2]}}};
  return functions.at(place);
}

at::Tensor by_function(const std::string& name, const at::Tensor& scores) {
  return name == "sigmoid" ? scores.sigmoid() : name == "relu" ? scores.relu() : scores;
}

/// Whether the policy, in evaluation, gives every expert that function of its own score: seen on drawn scores
/// large and small, as policies do not declare it.
bool weighs_by(const std::string& name, const Policy& policy) {
  for (const double deviation : {0.1, 3.0}) {
    const auto scores =
        ops::normal(Rng(0).fork("weighs_by"), {16 * policy.experts(), policy.columns()}, 0, deviation);
    const auto plan = policy.plan(scores, false, Rng(0));
    if (plan.soft() || !dense_weights(plan).equal(by_function(name, scores))) return false;
  }
  return true;
}

/// For compiled networks, which know activations but no policies. A policy of another kind logs nothing, and
/// the network then runs as it is.
void log_mixing(const Policy& policy, const at::Tensor& scores, const at::Tensor& mixing) {
  if (!ops::StepLog::wanted()) return;
  for (size_t i = 0; i < kPointwise.size(); ++i) {
    if (!weighs_by(kPointwise[i], policy)) continue;
    ops::StepLog::add([&] {
      ops::Step step{ops::Step::Kind::kActivation, scores, mixing};
      step.activation = &pointwise(i);
      return step;
    });
    return;
  }
}

}  // namespace

LayerRouter::LayerRouter(const ZooContext& context, int64_t channels, const std::string& name)
    : torch::nn::Module("LayerRouter"), name_(name), router_(layer_options(context, channels, name)) {
  router_.register_in(*this, "gate");
  if (!context.shape.merged) check_policy_for_images(router_.policy());
}

BucketedBatch LayerRouter::forward(const BucketedBatch& x) {
  GW_ENSURE(x.pass != nullptr, "layer router: expected a batch with its pass, got none");
  const auto& pass = x.pass->pass;
  const auto batch = out_of_buckets(x);
  const auto inputs = pass.told({}, pass.rng.fork(name_));
  at::Tensor scores;
  if (!pass.routes_given()) {
    // A gate over tokens sees one per image: the mean of each channel.
    scores = router_.scores(router_.gate().takes_images() ? batch : batch.mean({2, 3}), inputs);
    if (!x.pass->straight_through) scores = scores.detach();
  }
  auto plan = router_.decide(name_, scores, batch.size(0), inputs, pass, x.pass->training);
  auto index = index_buckets(plan, x.pass->execution);
  if (index->mixing.defined()) log_mixing(router_.policy(), scores, index->mixing);
  x.pass->plans.push_back({name_, std::move(plan)});
  return into_buckets(batch, std::move(index), x.pass);
}

}  // namespace gw::inline models
