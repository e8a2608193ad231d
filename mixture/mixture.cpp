#include "mixture/mixture.h"

#include <ATen/ATen.h>

#include "base/registry.h"

namespace gw {

void MixtureOptions::fields(OptionVisitor& v) {
  v.integer("experts", experts, "routed experts E", 1, 1 << 20);
  v.integer("in", in, "width of a token, or channels", 1, 1 << 24);
  v.integer("out", out, "width of the answer; 0: as in", 0, 1 << 24);
  v.integer("shared_experts", shared_experts, "experts that see every token with weight one", 0, 1024);
  v.table("gate", gate, "part of the gates catalogue");
  v.table("policy", policy, "part of the policies catalogue");
  v.table("bank", bank, "part of the banks catalogue");
  v.texts("balancers", balancers, "names of balancers with their default coefficients");
  v.integer("seed", seed, "of the initial weights", 0, INT64_MAX);
}

Mixture::Mixture(const MixtureOptions& options) : torch::nn::Module("Mixture"), options_(options) {
  check(options.in > 0, "mixture: expected the token width \"in\" to be positive, got {}", options.in);
  if (options_.out == 0) options_.out = options_.in;
  const auto seed = Rng(static_cast<uint64_t>(options.seed));
  gate_ = register_module("gate", make_part<Gate>("gate", Json::parse(options.gate), {options_.in, options_.experts, seed.fork("gate").key()}, 0));
  policy_ = make_part<Policy>("policy", Json::parse(options.policy), {options_.experts}, 0);
  const auto bank = Json::parse(options.bank);
  bank_ = register_module("bank", make_part<Bank>("bank", bank, {options_.experts, options_.in, options_.out, seed.fork("bank").key()}, 0));
  if (options_.shared_experts > 0) {
    const Bank::Context shared{options_.shared_experts, options_.in, options_.out, seed.fork("shared").key()};
    shared_ = register_module("shared", make_part<Bank>("bank", bank, shared, 0));
  }
  for (const auto& name : options.balancers) {
    balancers_.emplace_back(name, make_part<Balancer>(name, Json::object(), {options_.experts}));
  }
}

std::shared_ptr<Mixture> Mixture::from_json(const Json& options) {
  MixtureOptions parsed;
  parse_options("mixture", options, parsed);
  return std::make_shared<Mixture>(parsed);
}

at::Tensor Mixture::run(const at::Tensor& x, const RoutingPlan& plan) {
  if (exchange_ == nullptr) {
    store_->acquire(plan.offsets);
    auto y = bank_->mix(x, plan.offsets, plan.token, plan.weight);
    store_->release(plan.offsets);
    return y;
  }
  std::vector<int64_t> offsets;
  const auto here = exchange_->dispatch(x.index_select(0, plan.token), plan, offsets);
  store_->acquire(offsets);
  const auto answers = bank_->forward(here, offsets);
  store_->release(offsets);
  return scatter_rows(exchange_->collect(answers, plan), plan.token, plan.weight, plan.tokens);
}

MixtureOutput Mixture::forward(const at::Tensor& x, const Rng& rng) {
  check(x.dim() >= 2 && x.size(1) == options_.in, "mixture: expected tokens [T, {}], got {} dimensions, second of size {}", options_.in, x.dim(),
        x.dim() < 2 ? 0 : x.size(1));
  const auto scores = gate_->forward(x);
  auto plan = tap_->decide(policy_query(site_, RoutePurpose::kClean, *policy_, scores, is_training(), rng));
  for (const auto& [name, balancer] : balancers_) plan.aux[name] = balancer->loss(plan);
  auto y = run(x, plan);
  for (int64_t s = 0; s < options_.shared_experts; ++s) y = y + shared_->run_one(x, s);
  return {y, std::move(plan)};
}

}  // namespace gw
