#include "gatewright/models/combine.h"

#include <ATen/ATen.h>

#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {

void check_averaged(const RoutingPlan& plan) {
  constexpr double kRounding = 1e-4;
  GW_CHECK(!plan.soft(), "network: expected experts for images, got a policy with the trait \"soft slots\"");
  const auto sum = dense_weights(plan).detach().sum(1);
  const auto off = sum.sub(1).abs().gt(kRounding);
  GW_CHECK(!off.any().item<bool>(),
           "network: expected weights of an image's pathways that sum to 1, got {:.6g}; take adaptive or "
           "softmax_top_k with renormalise = true, and no limit of rows",
           sum.masked_select(off)[0].item<double>());
}

void check_policy_for_pathways(const Policy& policy) {
  const PolicyTraits traits = policy.traits();
  const char* wrong = traits.soft              ? "soft slots"
                      : traits.drops_tokens    ? "drops tokens"
                      : traits.batch_dependent ? "batch dependent"
                                               : "";
  GW_CHECK(*wrong == '\0',
           "network: expected a policy that gives every image its experts, whatever its batch, got one with "
           "the trait \"{}\"; take adaptive with renormalise = true",
           wrong);
  GW_CHECK(*traits.needs == '\0',
           "network: expected a policy that reads scores alone, got one that needs {}; take adaptive",
           traits.needs);
  for (const double deviation : {0.01, 1.0}) {
    const auto scores = ops::normal(Rng(0).fork("policy_for_pathways"),
                                    {16 * policy.experts(), policy.columns()}, 0, deviation);
    for (const bool train : {false, true}) check_averaged(policy.plan(scores, train, Rng(0)));
  }
}

at::Tensor combined_table(const at::Tensor& table, const at::Tensor& weight, Combine combine) {
  if (combine == Combine::kLogits) return table.mul(weight.unsqueeze(2)).sum(1);
  const auto met = weight.gt(0);
  // The logarithm of an absent weight would be minus infinity, and its gradient NaN.
  const auto share = at::where(met, weight, at::ones_like(weight))
                         .log()
                         .masked_fill(met.logical_not(), -std::numeric_limits<double>::infinity());
  return at::logsumexp(at::log_softmax(table, 2) + share.unsqueeze(2), {1});
}

at::Tensor combined_answers(const at::Tensor& answers, const RoutingPlan& plan, Combine combine) {
  const int64_t experts = plan.experts(), classes = answers.size(1);
  const auto place = plan.token * experts + expert_of_rows(plan);
  const auto table =
      at::zeros({plan.tokens * experts, classes}, answers.options()).index_add(0, place, answers);
  return combined_table(table.view({plan.tokens, experts, classes}),
                        dense_weights(plan).to(answers.scalar_type()), combine);
}

}  // namespace gw::inline models
