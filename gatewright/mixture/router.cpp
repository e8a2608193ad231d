#include "gatewright/mixture/router.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"

namespace gw::inline mixture {
namespace {

// Micro-batches of one step: more are a forgotten end_step(), and would fill the memory.
constexpr size_t kMostPasses = 4096;

}  // namespace

Router::Router(const Options& options) {
  policy_ = make_chosen<Policy>(options.policy, {options.experts});
  gate_ = make_chosen<Gate>(options.gate, {options.width, policy_->columns(), options.seed});
  for (const auto& choice : options.balancers) {
    auto balancer = make_chosen<Balancer>(choice, {options.experts});
    controlled_ = controlled_ || balancer->controls();
    balancers_.emplace_back(choice.name, std::move(balancer));
  }
}

void Router::register_in(torch::nn::Module& owner, const std::string& gate_name) {
  owner.register_module(gate_name, gate_);
  for (const auto& [name, tensor] : policy_->state()) owner.register_buffer("policy_" + name, tensor);
  for (const auto& [part, balancer] : balancers_) {
    for (const auto& [name, tensor] : balancer->state()) owner.register_buffer(part + "_" + name, tensor);
  }
}

std::vector<at::Tensor> Router::controlled_state() const {
  std::vector<at::Tensor> out;
  for (const auto& item : policy_->state()) out.push_back(item.second);
  for (const auto& item : balancers_) {
    for (const auto& state : item.second->state()) out.push_back(state.second);
  }
  return out;
}

at::Tensor Router::scores(const at::Tensor& x, const RouterInputs& inputs) const {
  return inputs.scores.defined() ? inputs.scores.to(routing_type(inputs.scores.scalar_type()))
                                 : gate_scores(*gate_, x, inputs);
}

RoutingPlan Router::chosen(const std::string& site, const at::Tensor& scores, const RouterInputs& inputs,
                           const Pass& pass, bool train) const {
  if (pass.tap == nullptr) return policy_->plan_for(scores, inputs, train);
  auto query = policy_query(site, pass.purpose, *policy_, scores, train, *inputs.rng);
  query.soft = policy_->traits().soft;
  query.chosen = [&] { return policy_->plan_for(scores, inputs, train); };
  return pass.tap->decide(query);
}

RoutingPlan Router::decide(const std::string& site, const at::Tensor& scores, int64_t tokens,
                           const RouterInputs& inputs, const Pass& pass, bool own_mode) {
  if (pass.forced_expert >= 0) return constant_plan(tokens, experts(), pass.forced_expert);
  if (pass.random_expert >= 0)
    return constant_plan(tokens, experts(), drawn_expert(pass.rng, site, experts(), pass.random_expert));
  const bool train = pass.training(own_mode);
  auto plan = chosen(site, scores, inputs, pass, train);
  GW_CHECK(plan.tokens == tokens,
           "mixture: expected one decision per token ({}), got {}; per-pixel gates want pixels as tokens",
           tokens, plan.tokens);
  plan.ranks = ranks_;
  if (inputs.sequence.defined()) plan.facts.sequence = inputs.sequence;
  if (inputs.task.defined()) plan.facts.task = inputs.task;
  if (pass.losses)
    for (const auto& [name, balancer] : balancers_) plan.aux[name] = balancer->loss(plan);
  if (controlled_ && train) remember(plan);
  return plan;
}

void Router::remember(const RoutingPlan& plan) {
  auto seen = plan;
  seen.weight = seen.weight.detach();
  if (seen.scores.defined()) seen.scores = seen.scores.detach();
  RoutingFacts::each([&](auto member) {
    if (auto& fact = seen.facts.*member; fact.defined()) fact = fact.detach();
  });
  seen.aux.clear();
  GW_CHECK(step_plans_.size() < kMostPasses,
           "mixture: expected end_step() after each optimiser step, got {} training passes without one; the "
           "controllers among the balancers act there",
           step_plans_.size());
  step_plans_.push_back(std::move(seen));
}

void Router::end_step() {
  if (step_plans_.empty()) return;
  const auto whole = merge_plans(step_plans_);
  for (const auto& item : balancers_) item.second->update(whole, *policy_);
  step_plans_.clear();
}

int64_t drawn_expert(const Rng& rng, const std::string& layer, int64_t experts, int64_t place) {
  return rng.fork("drawn").fork(layer).permutation(experts)[static_cast<size_t>(place)];
}

}  // namespace gw::inline mixture
