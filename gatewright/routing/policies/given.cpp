#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Routes that the caller enforces: by domain, by label, or replayed.
/// Math:   the experts of RouterInputs::route; weight 1 ("one", shared evenly among a token's routes), or
///         softmax(s) at the route.
/// Shapes: scores [T, E] and route [T] or [T, K] (−1: none) → plan with N ≤ T·K rows.
/// Errors: ValueError without routes, for an expert outside [−1, E), or one named twice for a token.
/// Source: Gururangan et al. 2021, arXiv 2108.05036 (DEMix layers): experts by domain.
class Given : public Policy {
 public:
  static constexpr const char* kSummary = "routes that the caller enforces, by domain or label";
  static constexpr const char* kSource = "Gururangan et al. 2021, arXiv 2108.05036";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.differentiable = false;
    traits.drops_tokens = traits.sums_to_one = true;
    traits.needs = "route";
    return traits;
  }();
  struct Options : OptionSet {
    std::string weight = "one";
    void fields(OptionVisitor& v) override {
      v.text("weight", weight, "of an enforced expert", {"one", "softmax"});
    }
  };

  Given(const Options& options, const Context& context) : options_(options), experts_(context.experts) {}

  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const override {
    RouterInputs inputs;
    inputs.rng = rng;
    return plan_for(scores, inputs, train);
  }

  RoutingPlan plan_for(const at::Tensor& scores, const RouterInputs& inputs, bool) const override {
    check_scores("policies/given", scores, experts_);
    const auto& route = inputs.route;
    GW_CHECK(route.defined(),
             "policies/given: expected the \"route\" of each token, got none; set RouterInputs::route");
    GW_CHECK((route.dim() == 1 || route.dim() == 2) && route.size(0) == scores.size(0) &&
                 route.scalar_type() == at::kLong,
             "policies/given: expected routes [{}] or [{}, K] of int64, got {} values of {}", scores.size(0),
             scores.size(0), route.numel(), c10::toString(route.scalar_type()));
    const auto expert = route.dim() == 1 ? route.unsqueeze(1) : route;
    const auto present = expert.ge(0);
    const auto share = present.to(scores.scalar_type()) / present.sum(1, true).clamp_min(1);
    auto weight = share;
    if (options_.weight == "softmax")
      weight = at::softmax(scores, 1)
                   .gather(1, expert.clamp(0, experts_ - 1))
                   .masked_fill(present.logical_not(), 0);
    auto plan = make_plan(expert, weight, experts_);
    plan.scores = scores;
    if (expert.size(1) > 0) plan.facts.first_choice = expert.select(1, 0);
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override {
    auto traits = kTraits;
    traits.differentiable = options_.weight == "softmax";
    traits.sums_to_one = options_.weight == "one";
    return traits;
  }

 private:
  Options options_;
  int64_t experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Given);
