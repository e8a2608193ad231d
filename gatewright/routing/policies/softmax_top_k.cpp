#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// The K experts of largest softmax probability.
/// Math:   p = softmax(s) over all E; keep the K largest; weight = p_e, or p_e / Σ kept.
/// Shapes: scores [T, E] → plan with N = T·K rows.
/// Errors: ValueError if K > E. Ties: lowest index.
/// Grad:   through the kept weights; with K = 1 and renormalise the weight is the constant 1 and no gradient
///         flows.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 3-5 without noise. Mixtral and Qwen3 renormalise; OLMoE
///         and Qwen2 do not. `noise = 1` is V-MoE's (Riquelme et al. 2021, arXiv 2106.05974). Differs: jitter
///         multiplies the scores, not the gate's input.
class SoftmaxTopK : public TokenChoice {
 public:
  static constexpr const char* kSummary = "K largest softmax probabilities, weights kept or renormalised";
  static constexpr const char* kSource =
      "Shazeer et al. 2017, arXiv 1701.06538; Fedus et al. 2021, arXiv 2101.03961";
  static constexpr PolicyTraits kTraits = {};
  struct Options : ChoiceOptions {
    int64_t k = 1;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      ChoiceOptions::fields(v);
    }
  };

  SoftmaxTopK(const Options& options, const Context& context)
      : TokenChoice("policies/softmax_top_k", kTraits, options, context.experts, options.k),
        options_(options) {}

 protected:
  const char* score_function() const override { return "softmax"; }
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.logits = scores;
    // Without a bias the scores rank like the probabilities, and stay apart where those round to the same
    // number.
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::SoftmaxTopK);
