#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Experts work on slots, each a mixture of all tokens; tokens read a mixture of all slots. Nothing is
/// dropped or chosen.
/// Math:   scores A [T, E·p]; dispatch = softmax over tokens, combine = softmax over slots;
///         y = combine · experts(dispatchᵀ · x); slot i belongs to expert i / p.
/// Shapes: scores [T, E·p] → a soft plan with N = E·p rows (none for T = 0).
/// Cost:   2·T·E·p·D flop to dispatch and as many to combine, experts on E·p rows whatever T.
/// Source: Puigcerver et al. 2023, arXiv 2308.00951; its gate is gates/cosine with project = 0 and a learned
///         scale. Looks at the whole batch: one image or sequence per call, and not for causal models.
class SoftMoe : public Policy {
 public:
  static constexpr const char* kSummary =
      "experts work on mixtures of tokens, tokens read mixtures of answers";
  static constexpr const char* kSource = "Puigcerver et al. 2023, arXiv 2308.00951";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.batch_dependent = traits.sums_to_one = traits.soft = true;
    return traits;
  }();
  struct Options : OptionSet {
    int64_t slots = 1;
    void fields(OptionVisitor& v) override { v.integer("slots", slots, "rows per expert", 1, 1 << 20); }
  };

  SoftMoe(const Options& options, const Context& context)
      : slots_(options.slots), experts_(context.experts) {}

  RoutingPlan plan(const at::Tensor& scores, bool, const Rng&) const override {
    check_scores("policies/soft_moe", scores, columns());
    const int64_t tokens = scores.size(0), rows = tokens == 0 ? 0 : columns();
    RoutingPlan plan;
    plan.tokens = tokens;
    for (int64_t e = 0; e <= experts_; ++e) plan.offsets.push_back(tokens == 0 ? 0 : e * slots_);
    plan.dispatch = at::softmax(scores, 0).t().narrow(0, 0, rows);
    plan.combine = at::softmax(scores, 1).narrow(1, 0, rows);
    plan.token = at::full({rows}, -1, at::kLong);
    plan.weight = at::ones({rows}, scores.options());
    plan.scores = scores;
    // Balance losses want one probability per expert: slots of an expert are summed.
    plan.facts.probability = at::softmax(scores, 1).view({tokens, experts_, slots_}).sum(2);
    return plan;
  }

  int64_t experts() const override { return experts_; }
  int64_t columns() const override { return experts_ * slots_; }
  PolicyTraits traits() const override { return kTraits; }

 private:
  int64_t slots_, experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::SoftMoe);
