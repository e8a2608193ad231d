#include "gatewright/routing/load.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"

namespace gw::inline routing {

at::Tensor load(const RoutingPlan& plan) {
  auto counts = at::empty({plan.experts()}, at::kDouble);
  for (int64_t e = 0; e < plan.experts(); ++e)
    counts.data_ptr<double>()[e] = static_cast<double>(plan.rows_of(e));
  return plan.scores.defined() ? counts.to(plan.scores.scalar_type()) : counts.to(at::kFloat);
}

std::vector<int64_t> rows_per_expert(const RoutingPlan& plan) {
  std::vector<int64_t> rows;
  for (int64_t e = 0; e < plan.experts(); ++e) rows.push_back(plan.rows_of(e));
  return rows;
}

double load_entropy(const std::vector<int64_t>& rows) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  if (rows.size() < 2 || all == 0) return 1;
  double entropy = 0;
  for (const int64_t n : rows) {
    const double share = static_cast<double>(n) / static_cast<double>(all);
    if (n > 0) entropy -= share * std::log(share);
  }
  return std::max(0.0, entropy) / std::log(static_cast<double>(rows.size()));
}

double load_entropy(const RoutingPlan& plan) { return load_entropy(rows_per_expert(plan)); }

at::Tensor probabilities(const RoutingPlan& plan) {
  if (plan.facts.probability.defined()) return plan.facts.probability;
  GW_CHECK(plan.scores.defined(),
           "balancer: expected a plan with scores, got given routes; balance losses need a router");
  return at::softmax(plan.scores, 1);
}

at::Tensor first_choices(const RoutingPlan& plan) {
  if (plan.facts.first_choice.defined()) return plan.facts.first_choice;
  return probabilities(plan).detach().argmax(1);
}

at::Tensor counts_of(const at::Tensor& expert, int64_t experts, at::ScalarType type) {
  const auto present = expert.masked_select(expert.ge(0));
  return at::bincount(present, {}, experts).to(type);
}

at::Tensor over_ranks(const RoutingPlan& plan, const at::Tensor& local) {
  if (plan.ranks == nullptr) return local;
  // The bracket is zero to the bit and carries the gradient.
  return plan.ranks->sum(local.detach()) + (local - local.detach());
}

double batch_tokens(const RoutingPlan& plan) {
  const auto tokens = static_cast<double>(plan.tokens);
  return plan.ranks == nullptr ? tokens : plan.ranks->sum(at::full({1}, tokens, at::kDouble)).item<double>();
}

at::Tensor batch_load(const RoutingPlan& plan) { return over_ranks(plan, load(plan)); }

at::Tensor zero_loss(const RoutingPlan& plan) { return probabilities(plan).sum(); }

}  // namespace gw::inline routing
