#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Experts that do not compete: each score is squashed by itself.
/// Math:   g = σ(s); keep the K largest, weight = g_e (or g_e / Σ kept). While training, an expert is left
///         out of the whole batch with probability `expert_dropout`.
/// Shapes: scores [T, E] → plan with N = T·K rows (fewer if dropout leaves less than K experts).
/// Errors: ValueError if K > E. Ties: lowest index.
/// Source: Csordás et al. 2023, arXiv 2310.10837 (σ-MoE), section 4; differs: weights act on the experts'
///         outputs, not on their hidden layer. Probabilities for balance losses are g / Σ g.
class SigmoidTopK : public TokenChoice {
 public:
  static constexpr const char* kSummary = "K largest sigmoids, experts do not compete";
  static constexpr const char* kSource = "Csordás et al. 2023, arXiv 2310.10837";
  static constexpr PolicyTraits kTraits = {};
  struct Options : ChoiceOptions {
    int64_t k = 2;
    double expert_dropout = 0.05;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.real("expert_dropout", expert_dropout, "probability that an expert sits out a training batch", 0,
             0.99);
      ChoiceOptions::fields(v);
    }
  };

  SigmoidTopK(const Options& options, const Context& context)
      : TokenChoice("policies/sigmoid_top_k", kTraits, options, context.experts, options.k),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool train, const Rng& rng) const override {
    Choice choice;
    choice.table = at::sigmoid(scores);
    choice.logits = at::log_sigmoid(scores);
    choice.probability = sigmoid_shares(scores);
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    if (train && options_.expert_dropout > 0) {
      const auto out = ops::uniform(rng, {1, experts()}, 0, 1).lt(options_.expert_dropout);
      if (!out.all().item<bool>()) choice.ranking = choice.ranking.masked_fill(out, kMaskedScore);
    }
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::SigmoidTopK);
