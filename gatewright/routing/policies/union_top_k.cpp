#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// The K experts of largest score, which are added up: parts of one network, not networks of their own.
/// Math:   weight exactly 1, with K = E the sum of all experts whatever the scores; p = softmax(s),
///         dL/dp_e := E · dL/dweight_e for the chosen ones (p is 1 / E where the router knows nothing).
/// Shapes: scores [T, E] → plan with N = T·K rows.
/// Errors: ValueError if K > E. Ties: lowest index.
/// Source: Yang et al. 2025, arXiv 2503.02495 (Union of Experts), whose code gives weight 1 and no gradient;
///         differs: the straight-through gradient, without which nothing but a balance loss teaches the gate.
class UnionTopK : public TokenChoice {
 public:
  static constexpr const char* kSummary = "K best experts, added up with weight 1: slices of one network";
  static constexpr const char* kSource = "after Yang et al. 2025, arXiv 2503.02495";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.straight_through = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 2;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      ChoiceOptions::fields(v);
    }
  };

  UnionTopK(const Options& options, const Context& context)
      : TokenChoice("policies/union_top_k", kTraits, options, context.experts, options.k),
        options_(options) {}

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = union_weights(at::softmax(scores, 1));
    choice.ranking = biased(scores, scores);
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::UnionTopK);
