#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Experts with a positive score: how many is up to the token, and there is no jump where an expert enters.
/// Math:   g = max(s, 0); the chosen are those with g > 0, weight = g (or g / Σ g).
/// Shapes: scores [T, E] → plan with N ≤ T·E rows. A token without a positive score has no expert.
/// Grad:   through g, continuous at zero.
/// Source: Wang et al. 2024, arXiv 2412.14711 (ReMoE); the sparsity is held by balancers/relu_l1. With
///         `renormalise` and gates/adamole it is the layer of AdaMoLE (Liu and Luo 2024, arXiv 2405.00361).
class Relu : public TokenChoice {
 public:
  static constexpr const char* kSummary = "every expert with a positive score, weighted by it";
  static constexpr const char* kSource = "Wang et al. 2024, arXiv 2412.14711";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.drops_tokens = true;
    return traits;
  }();
  using Options = ChoiceOptions;

  Relu(const Options& options, const Context& context)
      : TokenChoice("policies/relu", kTraits, options, context.experts, context.experts), options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::relu(scores);
    choice.probability = normalised_rows(choice.table);
    choice.ranking = biased(scores, scores);
    // A bias shifts the threshold; without one the chosen are exactly those of positive weight.
    choice.expert = top_k(choice.ranking.masked_fill(choice.ranking.le(0), kMaskedScore), experts());
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Relu);
