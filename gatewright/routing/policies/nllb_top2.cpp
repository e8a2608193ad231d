#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Two experts, weights normalised after what finds no room is gone.
/// Math:   p = softmax(s); first = argmax s; second = argmax of the rest ("all"), of the rest + Gumbel noise
///         ("sampling"), or kept with probability min(1, 2·p2) ("random"), the last two while training;
///         weights p / Σ over those with room.
///         C = 2f·ceil(T/E) while training, ceil(f·fraction·T) in evaluation; all first choices before all
///         second ones.
/// Shapes: scores [T, E] → plan with N ≤ 2T rows.
/// Errors: ValueError if E < 2.
/// Source: NLLB team 2022, arXiv 2207.04672, section 6; `expert_masking = 0.2` is its expert output masking,
///         per row, unscaled while training and ·(1 − p) in evaluation as in the public weights.
class NllbTop2 : public TokenChoice {
 public:
  static constexpr const char* kSummary = "two experts, weights normalised after drops";
  static constexpr const char* kSource = "NLLB team 2022, arXiv 2207.04672";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.drops_tokens = traits.batch_dependent = traits.order_dependent = traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    std::string second = "sampling";
    double evaluation_fraction = 0.25;
    Options() {
      renormalise = true, renormalise_when = "after_drop", evaluation_capacity_factor = capacity_factor = 1;
    }
    void fields(OptionVisitor& v) override {
      v.text("second", second, "how the second expert is found while training",
             {"all", "sampling", "random"});
      v.real("evaluation_fraction", evaluation_fraction,
             "room of an expert in evaluation, as a share of all tokens", 0, 1);
      ChoiceOptions::fields(v);
    }
  };

  NllbTop2(const Options& options, const Context& context)
      : TokenChoice("policies/nllb_top2", PolicyTraits{}, options, context.experts, 2, /*fixed=*/true),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.logits = scores;
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.expert = top_k(choice.ranking, 2);
    if (!train || options_.second == "all") return choice;
    if (options_.second == "sampling") {
      const auto first = choice.expert.narrow(1, 0, 1);
      auto rest = choice.ranking + gumbel(rng, scores.sizes(), scores.scalar_type());
      rest = rest.scatter(1, first, kMaskedScore);
      choice.expert = at::cat({first, top_k(rest, 1)}, 1);
    } else {
      const auto p2 =
          choice.table.detach().gather(1, choice.expert.narrow(1, 1, 1).clamp_min(0)).select(1, 0);
      const auto lost = ops::uniform(rng, {scores.size(0)}, 0, 1).to(p2.scalar_type()).ge(2 * p2);
      choice.expert.select(1, 1).masked_fill_(lost, -1);
    }
    return choice;
  }

  int64_t capacity(int64_t tokens, bool train) const override {
    if (options_.capacity > 0) return rounded(options_.capacity, tokens);
    const double factor = train ? options_.capacity_factor : options_.evaluation_capacity_factor;
    if (factor == 0) return INT64_MAX;
    const double share = train ? 2.0 * static_cast<double>((tokens + experts() - 1) / experts())
                               : options_.evaluation_fraction * static_cast<double>(tokens);
    return rounded(std::max<int64_t>(1, static_cast<int64_t>(std::ceil(factor * share - 1e-9))), tokens);
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::NllbTop2);
