#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/straight_through.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// The best expert with weight exactly one; the gradient passes straight through the selection.
/// Math:   m = onehot(argmax s), weight = m_{argmax}, dL/ds := dL/dm (non-zero for the winner only).
/// Shapes: scores [T, E] → plan with N = T rows.
/// Source: Zhang et al. 2023, arXiv 2308.10110 (robust MoE-CNN), as published in code.
class Top1StraightThrough : public Policy {
 public:
  static constexpr const char* kSummary =
      "best expert, weight exactly 1, straight-through gradient to its score";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.straight_through = traits.sums_to_one = traits.greedy = true;
    return traits;
  }();
  struct Options : OptionSet {};

  Top1StraightThrough(const Options&, const Context& context) : experts_(context.experts) {}

  RoutingPlan plan(const at::Tensor& scores, bool, const Rng&) const override {
    check_scores("policies/top1_straight_through", scores, experts_);
    const auto one_hot = ops::straight_through_one_hot(scores);
    const auto winner = one_hot.detach().argmax(1, true);
    auto plan = make_plan(winner, one_hot.gather(1, winner), experts_);
    plan.scores = scores;
    return plan;
  }

  RoutingPlan plan_given(const at::Tensor& scores, const at::Tensor& expert, bool,
                         const Rng&) const override {
    check_scores("policies/top1_straight_through", scores, experts_);
    const auto score = scores.gather(1, expert.clamp_min(0));
    auto plan = make_plan(expert, at::ones_like(score).detach() + (score - score.detach()),
                          experts_);  // exactly 1, gradient of the identity
    plan.scores = scores;
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override { return kTraits; }

 private:
  int64_t experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Top1StraightThrough);
