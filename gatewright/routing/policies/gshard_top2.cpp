#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Two experts, the second one only as often as its weight deserves.
/// Math:   p = softmax(s); g1, g2 = the two largest of p over their sum; the second is kept with probability
///         min(1, 2·g2); C = ceil(2T·f/E) with f = 1, all first choices placed before all second ones.
/// Shapes: scores [T, E] → plan with N ≤ 2T rows.
/// Errors: ValueError if E < 2.
/// Grad:   through g1 and g2; both stay normalised over the pair when the second is dropped.
/// Source: Lepikhin et al. 2020, arXiv 2006.16668, algorithm 1; its groups are `local_groups`; differs: in
///         evaluation the second is always kept.
class GshardTop2 : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "two experts, the second at random by its weight, with limited room";
  static constexpr const char* kSource = "Lepikhin et al. 2020, arXiv 2006.16668";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.drops_tokens = traits.batch_dependent = traits.order_dependent = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    bool random_second = true;
    Options() { capacity_factor = evaluation_capacity_factor = 1; }
    void fields(OptionVisitor& v) override {
      v.flag("random_second", random_second,
             "keep the second expert with probability min(1, 2 g2) while training");
      ChoiceOptions::fields(v);
    }
  };

  GshardTop2(const Options& options, const Context& context)
      : TokenChoice("policies/gshard_top2", PolicyTraits{}, options, context.experts, 2, /*fixed=*/true),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.logits = scores;
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.expert = top_k(choice.ranking, 2);
    choice.pair =
        choice.expert.clone();  // not what is kept: the draw below must not change the first expert's weight
    if (train && options_.random_second) {
      const auto g2 = weigh(choice, choice.pair).detach().select(1, 1);
      const auto keep = ops::uniform(rng, {scores.size(0)}, 0, 1).to(g2.scalar_type()).lt(2 * g2);
      choice.expert.select(1, 1).masked_fill_(keep.logical_not(), -1);
    }
    return choice;
  }

  at::Tensor weigh(const Choice& choice, const at::Tensor& kept) const override {
    return chosen_softmax(choice.logits, kept, covering(choice.pair, kept));
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::GshardTop2);
