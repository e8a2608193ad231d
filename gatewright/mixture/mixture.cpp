#include "gatewright/mixture/mixture.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <fmt/format.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/mixture/tokens.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"

namespace gw::inline mixture {

void MixtureOptions::fields(OptionVisitor& v) {
  v.integer("experts", experts, "routed experts E", 1, 1 << 20);
  v.integer("in", in, "width of a token, or channels", 1, 1 << 24);
  v.integer("out", out, "width of the answer; 0: as in", 0, 1 << 24);
  v.integer("shared_experts", shared_experts, "experts that see every token with weight one", 0, 1024);
  v.flag("shared_gate", shared_gate,
         "the shared experts' sum times the sigmoid of a linear score of the token (Qwen2)");
  v.flag("output_bias", output_bias, "one bias vector, added once to every token (JetMoE)");
  v.part("gate", gate, "part of the gates catalogue");
  v.part("policy", policy, "part of the policies catalogue");
  v.part("bank", bank, "part of the banks catalogue");
  v.part("shared_bank", shared_bank,
         "of the shared experts, where they differ: {part = \"mlp\", hidden = 5632}");
  v.text("execution", execution, "one pass of the kernel, bucket by bucket, or every expert on every token",
         execution_names());
  v.parts("balancers", balancers, "balance losses and controllers, by name or as tables");
  v.integer("seed", seed, "of the initial weights", 0, INT64_MAX);
}

namespace {

Router::Options router_options(const MixtureOptions& options) {
  GW_CHECK(options.in > 0, "mixture: expected the token width \"in\" to be positive, got {}", options.in);
  const auto seed = Rng(static_cast<uint64_t>(options.seed));
  return {options.experts, options.in,        options.gate,
          options.policy,  options.balancers, seed.fork("gate").key()};
}

}  // namespace

Mixture::Mixture(const MixtureOptions& options)
    : torch::nn::Module("Mixture"),
      options_(options),
      execution_(execution_named(options.execution)),
      draws_(Rng(static_cast<uint64_t>(options.seed)).fork("draws")),
      router_(router_options(options)) {
  if (options_.out == 0) options_.out = options_.in;
  const auto seed = Rng(static_cast<uint64_t>(options.seed));
  router_.register_in(*this, "gate");
  bank_ =
      register_module("bank", make_chosen<Bank>(options.bank, {options_.experts, options_.in, options_.out,
                                                               seed.fork("bank").key(), options.drawn}));
  add_shared(seed);
}

void Mixture::add_shared(const Rng& seed) {
  GW_CHECK(!options_.shared_gate || options_.shared_experts > 0,
           "mixture: expected shared_experts >= 1 for shared_gate, got 0");
  if (options_.output_bias) output_bias_ = register_parameter("output_bias", at::zeros({options_.out}));
  if (options_.shared_experts == 0) return;
  const Bank::Context shared{options_.shared_experts, options_.in, options_.out, seed.fork("shared").key(),
                             options_.drawn};
  const auto& own = options_.shared_bank;
  shared_ = register_module("shared", make_chosen<Bank>(own.empty() ? options_.bank : own, shared));
  if (options_.shared_gate)
    shared_gate_ =
        register_parameter("shared_gate", ops::default_uniform(seed.fork("shared_gate"), {1, options_.in}));
}

void Mixture::hold(const std::string& weights, int64_t group) {
  const auto held = [&](const char* name, const std::shared_ptr<Bank>& trained, PartChoice choice,
                        int64_t count) {
    GW_CHECK(choice.name == "mlp", "mixture: expected banks/mlp to hold in {}, got banks/{}", weights,
             choice.name);
    choice.options["weights"] = weights, choice.options["group"] = group;
    auto bank = make_chosen<Bank>(choice, {count, options_.in, options_.out});
    bank->take(*trained);
    return replace_module(name, bank);
  };
  bank_ = held("bank", bank_, options_.bank, options_.experts);
  if (shared_ == nullptr) return;
  const auto& own = options_.shared_bank.empty() ? options_.bank : options_.shared_bank;
  shared_ = held("shared", shared_, own, options_.shared_experts);
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

void Mixture::end_step() { router_.end_step(); }

MixtureOutput Mixture::forward(const at::Tensor& x, const Rng& rng) {
  RouterInputs inputs;
  inputs.rng = rng;
  return forward(x, inputs);
}

MixtureOutput Mixture::forward(const at::Tensor& x, const RouterInputs& inputs) {
  Pass pass;
  pass.rng = inputs.rng ? *inputs.rng : draws_.next(is_training());
  pass.step = inputs.step, pass.train = inputs.train;
  return forward(x, inputs, pass);
}

RoutingPlan Mixture::route(const at::Tensor& x, const RouterInputs& given, const Pass& pass) {
  const auto inputs = pass.told(given, pass.rng);
  auto seen = pass;
  if (seen.tap == nullptr) seen.tap = tap_.get();
  const auto scores = pass.routes_given() ? at::Tensor() : router_.scores(x, inputs);
  return router_.decide(site_, scores, x.size(0), inputs, seen, is_training());
}

MixtureOutput Mixture::forward(const at::Tensor& tokens, const RouterInputs& inputs, const Pass& pass) {
  const auto layer = site_ == kOwnSite ? site_ : fmt::format("mixture \"{}\"", shown(site_));
  const auto x = accepted_tokens(layer, tokens, options_.in, bank_->like());
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(
      c10::autocast_dispatch_keyset);  // the kernels take no mixture of types
  auto plan = route(x, inputs, pass);
  GW_CHECK(!plan.soft() || x.dim() == 2, "mixture: expected tokens [T, {}] for soft slots, got {} dimensions",
           options_.in, x.dim());
  auto y = execute(*bank_, x, plan, execution_, *store_, exchange_.get());
  if (plan.bypass.defined()) {
    GW_CHECK(y.sizes() == x.sizes(),
             "mixture: expected answers of the inputs' shape, which bypass adds to, got another; set "
             "overflow = \"drop\"");
    y = y + x * per_row(plan.bypass, x);
  }
  if (shared_ != nullptr) y = y + shared(x);
  if (output_bias_.defined()) {
    std::vector<int64_t> per_channel(static_cast<size_t>(y.dim()), 1);
    per_channel[1] = options_.out;
    y = y + output_bias_.to(y.scalar_type()).view(per_channel);
  }
  return {y, std::move(plan), gate_ahead(router_.gate(), x)};
}

}  // namespace gw::inline mixture
