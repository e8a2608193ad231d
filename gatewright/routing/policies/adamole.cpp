#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Experts above a threshold that each token sets for itself.
/// Math:   the gate gives [s | t] of E + 1 columns; p = softmax(s), θ = τ·σ(t), q = p − θ; the chosen are
///         those with q > 0, weight = q / Σ q over the chosen. τ = 0 is dense softmax.
/// Shapes: scores [T, E+1] → plan with T ≤ N ≤ T·E rows: max p ≥ 1/E ≥ θ, and at equality (q = 0) the first
///         expert stays.
/// Grad:   through q, so to the threshold as well; the choice is a constant.
/// Source: Liu and Luo 2024, arXiv 2405.00361 (AdaMoLE), section 3.2; balance losses see q, as there.
class AdaMole : public TokenChoice {
 public:
  static constexpr const char* kSummary = "experts above a learned threshold per token";
  static constexpr const char* kSource = "Liu and Luo 2024, arXiv 2405.00361";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    double threshold = 1;
    Options() { renormalise = true; }
    void fields(OptionVisitor& v) override {
      v.real("threshold", threshold, "largest threshold in units of 1/E", 0, 1);
      ChoiceOptions::fields(v);
    }
  };

  AdaMole(const Options& options, const Context& context)
      : TokenChoice("policies/adamole", kTraits, options, context.experts, context.experts),
        options_(options) {}

  int64_t columns() const override { return experts() + 1; }

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.scores = scores.narrow(1, 0, experts());
    const auto theta =
        at::sigmoid(scores.narrow(1, experts(), 1)) * (options_.threshold / static_cast<double>(experts()));
    const auto q = at::softmax(choice.scores, 1) - theta;
    choice.probability = q;
    choice.ranking = biased(q, choice.scores);
    choice.expert = top_k(choice.ranking, experts());
    auto below = choice.ranking.gather(1, choice.expert.clamp_min(0)).le(0);
    const auto none = below.all(1);
    if (none.any()
            .item<bool>()) {  // rounding at even scores: q = 0 everywhere; one weight of 1 keeps the token
      below.select(1, 0).fill_(false);
      choice.table = at::where(none.unsqueeze(1), q - q.detach() + 1, q.clamp_min(0));
    } else {
      choice.table = q.clamp_min(0);
    }
    choice.expert = choice.expert.masked_fill(below, -1);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::AdaMole);
