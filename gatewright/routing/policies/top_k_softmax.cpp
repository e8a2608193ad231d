#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Softmax over the K largest scores only.
/// Math:   S = the K largest of s; weight_e = exp(s_e) / Σ_{i in S} exp(s_i). The same numbers as softmax →
///         top-k → renormalise.
/// Shapes: scores [T, E] → plan with N = T·K rows.
/// Errors: ValueError if K > E. Ties: lowest index.
/// Grad:   through the weights; with K = 1 they are the constant 1.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 3; the form of Mixtral (arXiv 2401.04088), JetMoE
///         (2404.07413), Granite and GPT-OSS.
class TopKSoftmax : public TokenChoice {
 public:
  static constexpr const char* kSummary = "softmax over the K largest scores";
  static constexpr const char* kSource =
      "Shazeer et al. 2017, arXiv 1701.06538; Jiang et al. 2024, arXiv 2401.04088";
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

  TopKSoftmax(const Options& options, const Context& context)
      : TokenChoice("policies/top_k_softmax", kTraits, options, context.experts, options.k),
        options_(options) {
    require_renormalised("policies/top_k_softmax", options);
  }

 protected:
  const char* score_function() const override { return "softmax"; }
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table =
        at::softmax(scores, 1);  // orders tokens under priority; the weights are the softmax over the chosen
    choice.logits = scores;
    choice.ranking = biased(scores, scores);
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::TopKSoftmax);
