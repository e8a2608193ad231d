#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// As many experts as it takes to gather a share of the probability.
/// Math:   p sorted downwards; the smallest set whose sum is ≥ P, at most `most` experts; weight = p_e (or
///         p_e / Σ).
/// Shapes: scores [T, E] → plan with T ≤ N ≤ T·most rows.
/// Errors: ValueError if most > E.
/// Source: Huang et al. 2024, arXiv 2403.07652 (dynamic routing), section 3.2, with P = 0.4 and
///         balancers/entropy to keep sets small.
class TopP : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "the smallest set of experts that holds a share P of the probability";
  static constexpr const char* kSource = "Huang et al. 2024, arXiv 2403.07652";
  static constexpr PolicyTraits kTraits = {};
  struct Options : ChoiceOptions {
    double p = 0.4;
    int64_t most = 0;
    void fields(OptionVisitor& v) override {
      v.real("p", p, "share of the probability to gather", 0, 1);
      v.integer("most", most, "at most so many experts per token; 0: all", 0, 4096);
      ChoiceOptions::fields(v);
    }
  };

  TopP(const Options& options, const Context& context)
      : TokenChoice("policies/top_p", kTraits, options, context.experts,
                    options.most > 0 ? options.most : context.experts),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.logits = scores;
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.expert = top_k(choice.ranking, options_.most > 0 ? options_.most : experts());
    const auto p = choice.table.detach().gather(1, choice.expert.clamp_min(0));
    // An expert is needed while those before it hold less than P; the first always is. Rounding may leave the
    // sum short of P = 1.
    const auto before = p.cumsum(1) - p;
    auto enough = before.ge(options_.p - 1e-12);
    if (scores.size(0) > 0) enough.select(1, 0).fill_(false);
    choice.expert = choice.expert.masked_fill(enough, -1);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::TopP);
