#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Every expert for every token, as mixtures were before they were sparse.
/// Math:   weight = score function of s: softmax (sums to one), sigmoid, exp (gates that give log weights),
///         relu or identity.
/// Shapes: scores [T, E] → plan with N = T·E rows (masked experts have none).
/// Cost:   all experts run on all tokens.
/// Source: Jacobs et al. 1991, Adaptive mixtures of local experts; Ma et al. 2018 (MMoE) per task.
class DenseSoftmax : public TokenChoice {
 public:
  static constexpr const char* kSummary = "all experts, weighted by the softmax of their scores";
  static constexpr const char* kSource = "Jacobs et al. 1991, Neural Computation 3";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.sums_to_one = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    std::string score = "softmax";
    void fields(OptionVisitor& v) override {
      v.text("score", score, "from scores to weights", {"softmax", "sigmoid", "exp", "relu", "identity"});
      ChoiceOptions::fields(v);
    }
  };

  DenseSoftmax(const Options& options, const Context& context)
      : TokenChoice("policies/dense_softmax", traits_of(options), options, context.experts, context.experts),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = apply_score(options_.score, scores);
    choice.ranking = biased(scores, scores);
    choice.expert = top_k(choice.ranking, experts());
    const bool sigmoid = options_.score == "sigmoid";
    if (sigmoid || options_.score == "softmax" || options_.score == "exp")
      choice.logits = sigmoid ? at::log_sigmoid(scores) : scores;
    if (sigmoid) choice.probability = sigmoid_shares(scores);
    if (options_.score == "relu" || options_.score == "identity")
      choice.probability = normalised_rows(choice.table);
    return choice;
  }

 private:
  static PolicyTraits traits_of(const Options& options) {
    auto traits = kTraits;
    traits.sums_to_one = options.score == "softmax";
    return traits;
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::DenseSoftmax);
