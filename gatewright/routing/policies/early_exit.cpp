#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Exits in a row: expert l is the answer after block l, and the last always answers.
/// Math:   g = σ(s) for exits 1 … E−1; P_l = max(0, min(g_l, 1 − Σ_{j<l} g_j)), the rest of the mass to the
///         last exit. While training all exits weigh P. In evaluation the token leaves at the first exit
///         whose conditional probability q_l = P_l / Π_{j<l}(1 − q_j) reaches `threshold`, with weight 1.
/// Shapes: scores [T, E] (the last column is not looked at) → plan with N ≤ T·E rows while training, T in
///         evaluation.
/// Source: Chataoui et al. 2024, arXiv 2310.09163 (JEI-DNN), section 4; scores come from gates/early_exit.
class EarlyExit : public Policy {
 public:
  static constexpr const char* kSummary =
      "the first exit that is sure enough; all exits weighted while training";
  static constexpr const char* kSource = "Chataoui et al. 2024, arXiv 2310.09163";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : OptionSet {
    double threshold = 0.5;
    void fields(OptionVisitor& v) override {
      v.real("threshold", threshold, "conditional probability to leave at", 0, 1);
    }
  };

  EarlyExit(const Options& options, const Context& context) : options_(options), experts_(context.experts) {}

  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng&) const override {
    check_scores("policies/early_exit", scores, experts_);
    const int64_t tokens = scores.size(0);
    const auto g = at::sigmoid(scores.narrow(1, 0, experts_ - 1));
    const auto before = g.cumsum(1) - g;
    const auto p = at::min(g, 1 - before).clamp_min(0);
    const auto mass = at::cat({p, (1 - p.sum(1, true)).clamp_min(0)}, 1);
    auto expert = at::arange(experts_, at::kLong).expand({tokens, experts_});
    auto weight = mass;
    if (!train) {
      expert = first_sure(mass.detach());
      weight = at::ones({tokens, 1}, scores.options()) +
               0 * mass.sum(1, true);  // weight 1, connected to the scores
    }
    auto plan = make_plan(expert, weight, experts_);
    plan.scores = scores;
    plan.facts.probability = mass;
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override { return kTraits; }

 private:
  at::Tensor first_sure(const at::Tensor& mass) const {
    const int64_t tokens = mass.size(0);
    auto exit = at::full({tokens, 1}, experts_ - 1, at::kLong);
    const auto dense = mass.to(at::kDouble).contiguous();
    for (int64_t t = 0; t < tokens; ++t) {
      double open = 1;  // Π (1 − q_j): the mass that has not left
      for (int64_t l = 0; l + 1 < experts_; ++l) {
        const double left = dense.data_ptr<double>()[t * experts_ + l];
        if (open <= 0 || left / open >= options_.threshold) {
          exit.data_ptr<int64_t>()[t] = l;
          break;
        }
        open -= left;
      }
    }
    return exit;
  }

  Options options_;
  int64_t experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::EarlyExit);
