#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Conditional routing: every token mixes a shared expert with the routed ones by a gate of its own.
/// Math:   expert 0 is shared; g = σ(s_0); p = softmax over experts 1 … E−1, K largest, normalised over the
///         kept; weights 1 − g for expert 0 and g·p_e for the others. While training, g is set to 0 with
///         probability `drop`.
///         Auxiliary loss "cmr_budget": λ·|mean g − budget|. What balancers see is the choice among the
///         routed experts: p, 0 for the shared one, and a token's first choice among them.
/// Shapes: scores [T, E] → plan with N = T·(K+1) rows.
/// Errors: ValueError if K > E − 1.
/// Source: NLLB team 2022, arXiv 2207.04672, section 6 (CMR), after Zhang et al. 2021; differs: one layer's
///         budget, not the sum over layers.
class Cmr : public TokenChoice {
 public:
  static constexpr const char* kSummary = "a shared expert against routed ones, mixed per token";
  static constexpr const char* kSource = "NLLB team 2022, arXiv 2207.04672";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 2;
    double drop = 0.1, budget = 0.8, budget_weight = 0.1;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "routed experts per token", 1, 4096);
      v.real("drop", drop, "probability that a training token uses the shared expert alone", 0, 1);
      v.real("budget", budget, "share of the output that routed experts should have", 0, 1);
      v.real("budget_weight", budget_weight, "of the loss that holds the budget", 0, 1e6);
      ChoiceOptions::fields(v);
    }
  };

  Cmr(const Options& options, const Context& context)
      : TokenChoice("policies/cmr", kTraits, options, context.experts,
                    with_shared(options.k, context.experts)),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    const int64_t tokens = scores.size(0);
    const auto gate = scores.narrow(1, 0, 1);
    auto g = at::sigmoid(gate), rest = at::sigmoid(-gate);  // 1 - g would be 0 in f32 from a score of 17
    Choice choice;
    if (tokens > 0) choice.aux["cmr_budget"] = options_.budget_weight * (g.mean() - options_.budget).abs();
    if (train && options_.drop > 0) {
      const auto dropped = ops::uniform(rng, {tokens, 1}, 0, 1).lt(options_.drop);
      g = g.masked_fill(dropped, 0), rest = rest.masked_fill(dropped, 1);
    }
    choice.ranking = biased(scores, scores);
    const auto best = top_k(choice.ranking.narrow(1, 1, experts() - 1), options_.k);
    choice.pair = best.masked_fill(best.lt(0), -2) + 1;
    choice.scores = scores;
    const auto routed = scores.narrow(1, 1, experts() - 1);
    choice.probability = at::cat({at::zeros_like(gate), at::softmax(routed, 1)}, 1);
    choice.table = at::cat({rest, g.expand({tokens, experts() - 1})}, 1);  // shares of the two kinds
    choice.expert = at::cat({choice.pair, at::zeros({tokens, 1}, at::kLong)}, 1);
    return choice;
  }

  at::Tensor weigh(const Choice& choice, const at::Tensor& kept) const override {
    const auto routed = kept.masked_fill(kept.eq(0), -1);
    const auto p = chosen_softmax(choice.scores, routed, covering(choice.pair, routed));
    return TokenChoice::weigh(choice, kept) * at::where(kept.eq(0), at::ones_like(p), p);
  }

 private:
  static int64_t with_shared(int64_t k, int64_t experts) {
    GW_CHECK(
        k<experts, "policies/cmr: expected k < experts ({}), one of which is shared, got {}; raise experts{}",
            experts, k, experts> 1
            ? " or lower k"
            : "");
    return k + 1;
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Cmr);
