#include "gatewright/mixture/mixture.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/format.h>

#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/mixture/tokens.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline mixture {
namespace {
constexpr size_t kMostPasses =
    4096;  // micro-batches of one step: more are a forgotten end_step, and would fill the memory

/// The weights of planned experts, given back in any case: a store that counts would keep them for ever after
/// an expert's error.
class HeldWeights {
 public:
  HeldWeights(WeightStore& store, const std::vector<int64_t>& offsets) : store_(store), offsets_(offsets) {
    store_.acquire(offsets_);
  }
  ~HeldWeights() {
    try {
      if (!released_) store_.release(offsets_);
    } catch (...) {  // the error under way is the one to tell
    }
  }
  HeldWeights(const HeldWeights&) = delete;
  HeldWeights& operator=(const HeldWeights&) = delete;
  void release() {
    released_ = true;
    store_.release(offsets_);
  }

 private:
  WeightStore& store_;
  const std::vector<int64_t>& offsets_;
  bool released_ = false;
};

}  // namespace

void MixtureOptions::fields(OptionVisitor& v) {
  v.integer("experts", experts, "routed experts E", 1, 1 << 20);
  v.integer("in", in, "width of a token, or channels", 1, 1 << 24);
  v.integer("out", out, "width of the answer; 0: as in", 0, 1 << 24);
  v.integer("shared_experts", shared_experts, "experts that see every token with weight one", 0, 1024);
  v.flag("shared_gate", shared_gate,
         "the shared experts' sum times the sigmoid of a linear score of the token (Qwen2)");
  v.flag("output_bias", output_bias, "one bias vector, added once to every token (JetMoE)");
  v.table("gate", gate, "part of the gates catalogue");
  v.table("policy", policy, "part of the policies catalogue");
  v.table("bank", bank, "part of the banks catalogue");
  v.table("shared_bank", shared_bank,
          "of the shared experts, where they differ: {part = \"mlp\", hidden = 5632}");
  v.texts("balancers", balancers, "names of balancers with their default coefficients");
  v.integer("seed", seed, "of the initial weights", 0, INT64_MAX);
}

Mixture::Mixture(const MixtureOptions& options)
    : torch::nn::Module("Mixture"),
      options_(options),
      draws_(Rng(static_cast<uint64_t>(options.seed)).fork("draws")) {
  GW_CHECK(options.in > 0, "mixture: expected the token width \"in\" to be positive, got {}", options.in);
  if (options_.out == 0) options_.out = options_.in;
  const auto seed = Rng(static_cast<uint64_t>(options.seed));
  policy_ = make_part<Policy>("policy", Json::parse(options.policy), {options_.experts}, 0);
  const Gate::Context gate{options_.in, policy_->columns(), seed.fork("gate").key()};
  gate_ = register_module("gate", make_part<Gate>("gate", Json::parse(options.gate), gate, 0));
  for (const auto& [name, tensor] : policy_->state()) register_buffer("policy_" + name, tensor);
  const auto bank = Json::parse(options.bank);
  bank_ = register_module(
      "bank", make_part<Bank>("bank", bank,
                              {options_.experts, options_.in, options_.out, seed.fork("bank").key()}, 0));
  add_shared(seed);
  for (const auto& choice : options.balancers) {
    // A name, or a table as text: texts are what option lists hold.
    const auto parsed =
        part_choice("balancers", choice.rfind('{', 0) == 0 ? Json::parse(choice) : Json(choice));
    auto balancer = make_part<Balancer>(parsed.name, parsed.options, {options_.experts});
    for (const auto& [name, tensor] : balancer->state()) register_buffer(parsed.name + "_" + name, tensor);
    controlled_ = controlled_ || balancer->controls();
    balancers_.emplace_back(parsed.name, std::move(balancer));
  }
}

void Mixture::add_shared(const Rng& seed) {
  GW_CHECK(!options_.shared_gate || options_.shared_experts > 0,
           "mixture: expected shared_experts >= 1 for shared_gate, got 0");
  if (options_.output_bias) output_bias_ = register_parameter("output_bias", at::zeros({options_.out}));
  if (options_.shared_experts == 0) return;
  const Bank::Context shared{options_.shared_experts, options_.in, options_.out, seed.fork("shared").key()};
  const auto own = Json::parse(options_.shared_bank);
  shared_ = register_module(
      "shared", make_part<Bank>("bank", own.empty() ? Json::parse(options_.bank) : own, shared, 0));
  if (options_.shared_gate)
    shared_gate_ =
        register_parameter("shared_gate", ops::default_uniform(seed.fork("shared_gate"), {1, options_.in}));
}

at::Tensor Mixture::shared(const at::Tensor& x) const {
  auto y = shared_->run_one(x, 0);
  for (int64_t s = 1; s < options_.shared_experts; ++s) y = y + shared_->run_one(x, s);
  if (!shared_gate_.defined()) return y;
  GW_CHECK(x.dim() == 2, "mixture: expected tokens [T, {}] for shared_gate, got {} dimensions", options_.in,
           x.dim());
  return at::sigmoid(ops::linear(x, shared_gate_.to(x.scalar_type()), {})) * y;
}

std::shared_ptr<Mixture> Mixture::from_json(const Json& options) {
  MixtureOptions parsed;
  parse_options("mixture", options, parsed);
  return std::make_shared<Mixture>(parsed);
}

RoutingPlan Mixture::route(const at::Tensor& x, const RouterInputs& inputs) {
  const auto scores = inputs.scores.defined() ? inputs.scores.to(routing_type(inputs.scores.scalar_type()))
                                              : gate_scores(*gate_, x, inputs);
  auto query = policy_query(site_, RoutePurpose::kClean, *policy_, scores, is_training(), *inputs.rng);
  query.soft = policy_->traits().soft;
  query.chosen = [&] { return policy_->plan_for(scores, inputs, is_training()); };
  auto plan = tap_->decide(query);
  GW_CHECK(plan.tokens == x.size(0),
           "mixture: expected one decision per token ({}), got {}; per-pixel gates want pixels as tokens",
           x.size(0), plan.tokens);
  plan.ranks = ranks_;
  if (inputs.sequence.defined()) plan.extra["sequence"] = inputs.sequence;
  if (inputs.task.defined()) plan.extra["task"] = inputs.task;
  for (const auto& [name, balancer] : balancers_) plan.aux[name] = balancer->loss(plan);
  if (controlled_ && is_training()) {
    auto seen = plan;
    seen.weight = seen.weight.detach();
    if (seen.scores.defined()) seen.scores = seen.scores.detach();
    for (auto& item : seen.extra) item.second = item.second.detach();
    seen.aux.clear();
    GW_CHECK(step_plans_.size() < kMostPasses,
             "mixture: expected end_step() after each optimiser step, got {} training passes without one; "
             "the controllers among the "
             "balancers act there",
             step_plans_.size());
    step_plans_.push_back(std::move(seen));
  }
  return plan;
}

void Mixture::end_step() {
  if (step_plans_.empty()) return;
  const auto whole = merge_plans(step_plans_);
  for (const auto& item : balancers_) item.second->update(whole, *policy_);
  step_plans_.clear();
}

at::Tensor Mixture::run(const at::Tensor& x, const RoutingPlan& plan) {
  if (exchange_ == nullptr && !plan.soft()) {
    HeldWeights held(*store_, plan.offsets);
    auto y = bank_->mix(x, plan.offsets, plan.token, plan.weight);
    held.release();
    return y;
  }
  std::vector<int64_t> offsets = plan.offsets;
  auto here = plan.soft() ? at::matmul(plan.dispatch.to(x.scalar_type()), x) : x.index_select(0, plan.token);
  if (exchange_ != nullptr) here = exchange_->dispatch(here, plan, offsets);
  HeldWeights held(*store_, offsets);
  auto answers = bank_->forward(here, offsets);
  held.release();
  if (exchange_ != nullptr) answers = exchange_->collect(answers, plan);
  return plan.soft() ? at::matmul(plan.combine.to(x.scalar_type()), answers)
                     : scatter_rows(answers, plan.token, plan.weight, plan.tokens);
}

MixtureOutput Mixture::forward(const at::Tensor& x, const Rng& rng) {
  RouterInputs inputs;
  inputs.rng = rng;
  return forward(x, inputs);
}

MixtureOutput Mixture::forward(const at::Tensor& tokens, const RouterInputs& given) {
  const auto weights = bank_->parameters();
  const auto layer = site_ == kOwnSite ? site_ : fmt::format("mixture \"{}\"", shown(site_));
  const auto x = accepted_tokens(layer, tokens, options_.in, weights.empty() ? at::Tensor() : weights[0]);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(
      c10::autocast_dispatch_keyset);  // the kernels take no mixture of types
  auto inputs = given;
  if (!inputs.rng) inputs.rng = draws_.next(is_training());
  auto plan = route(x, inputs);
  GW_CHECK(!plan.soft() || x.dim() == 2, "mixture: expected tokens [T, {}] for soft slots, got {} dimensions",
           options_.in, x.dim());
  auto y = run(x, plan);
  if (plan.bypass.defined()) {
    GW_CHECK(y.sizes() == x.sizes(),
             "mixture: expected answers of the inputs' shape, which bypass adds to, got another; set "
             "overflow = \"drop\"");
    std::vector<int64_t> per_row(static_cast<size_t>(x.dim()), 1);
    per_row[0] = plan.tokens;
    y = y + x * plan.bypass.to(x.scalar_type()).view(per_row);
  }
  if (shared_ != nullptr) y = y + shared(x);
  if (output_bias_.defined()) {
    std::vector<int64_t> per_channel(static_cast<size_t>(y.dim()), 1);
    per_channel[1] = options_.out;
    y = y + output_bias_.to(y.scalar_type()).view(per_channel);
  }
  return {y, std::move(plan), gate_ahead(*gate_, x)};
}

}  // namespace gw::inline mixture
