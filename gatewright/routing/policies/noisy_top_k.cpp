#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Top-k under noise whose size the router learns.
/// Math:   the gate gives [clean | raw] of E columns each; h = clean + ε·softplus(raw), ε ~ N(0, 1) while
///         training, else 0; softmax over the K largest of h.
/// Shapes: scores [T, 2E] → plan with N = T·K rows.
/// Errors: ValueError if K > E, for E columns instead of 2E, or with `renormalise` off.
/// Grad:   through clean and, while training, through the noise's size; with K = 1 the weight is the constant
///         1.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 3-5; its gate starts at zero: gate = { part = "linear",
///         init_scale = 0.0 }.
class NoisyTopK : public TokenChoice {
 public:
  static constexpr const char* kSummary = "softmax over the K largest scores under learned noise";
  static constexpr const char* kSource = "Shazeer et al. 2017, arXiv 1701.06538";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 2;
    Options() { renormalise = true; }
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      ChoiceOptions::fields(v);
    }
  };

  NoisyTopK(const Options& options, const Context& context)
      : TokenChoice("policies/noisy_top_k", kTraits, options, context.experts, options.k), options_(options) {
    require_renormalised("policies/noisy_top_k", options);
  }

  int64_t columns() const override { return 2 * experts(); }

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    Choice choice;
    const auto clean = scores.narrow(1, 0, experts());
    choice.scores = clean;
    if (train) {
      choice.deviation = at::softplus(scores.narrow(1, experts(), experts()));
      choice.clean = clean;
      choice.scores =
          clean + ops::normal(rng, clean.sizes(), 0, 1).to(clean.scalar_type()) * choice.deviation;
    }
    choice.table = at::softmax(
        choice.scores, 1);  // orders tokens under priority; the weights are the softmax over the chosen
    choice.logits = choice.scores;
    choice.ranking = biased(choice.scores, choice.scores);
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::NoisyTopK);
