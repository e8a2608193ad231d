#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// A second expert only where the router cannot tell the first two apart.
/// Math:   p = softmax(s) over all E, p1 ≥ p2 its two largest; both experts if p1 − p2 ≤ T, else the first
///         alone. Weights: p over their sum for a pair, p1 for a single one (1 with `renormalise`).
/// Shapes: scores [T, E] → plan with T ≤ N ≤ 2T rows. T = 0: one expert (two at exact ties); T ≥ 1: always
///         two.
/// Errors: ValueError if E < 2.
/// Source: Li et al. 2023, arXiv 2310.07188 (adaptive gating), section 3; its balance loss counts single
///         tokens only: balancers/switch_loss with count = "single". The weights are ours where the paper
///         prints none.
class Adaptive : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "one or two experts, by the gap between the two largest probabilities";
  static constexpr const char* kSource = "Li et al. 2023, arXiv 2310.07188";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.by_lead = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    double gap = 0.1;
    void fields(OptionVisitor& v) override {
      v.real("gap", gap, "two experts up to this difference of probabilities", 0, 1);
      ChoiceOptions::fields(v);
    }
  };

  Adaptive(const Options& options, const Context& context)
      : TokenChoice("policies/adaptive", kTraits, options, context.experts, 2, /*fixed=*/true),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = choice.probability = at::softmax(scores, 1);
    choice.logits = scores;
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.expert = top_k(choice.ranking, 2);
    const auto top = choice.table.detach().gather(1, choice.expert.clamp_min(0));
    const auto single =
        (top.select(1, 0) - top.select(1, 1)).gt(options_.gap).logical_or(choice.expert.select(1, 1).lt(0));
    choice.expert.select(1, 1).masked_fill_(single, -1);
    choice.pair = choice.expert;
    return choice;
  }

  // Of a pair relative to it, of a single expert its probability.
  at::Tensor weigh(const Choice& choice, const at::Tensor& kept) const override {
    const auto over = covering(choice.pair, kept);
    const auto alone = over.ge(0).sum(1, true).lt(2);
    return at::where(alone, TokenChoice::weigh(choice, kept), chosen_softmax(choice.logits, kept, over));
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Adaptive);
