#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// Tokens compete for room by how sure the router is of them.
/// Math:   p = softmax(s), top-K as usual; tokens are placed by decreasing max p, all first choices before
///         all second ones, until C = ceil(T·K·f/E) rows are taken.
/// Shapes: scores [T, E] → plan with N ≤ T·K rows. Ties: lowest token index.
/// Source: Riquelme et al. 2021, arXiv 2106.05974 (V-MoE), section 4; allows f < 1 in evaluation to skip dull
///         tokens.
class BatchPriority : public TokenChoice {
 public:
  static constexpr const char* kSummary = "top-k in which the surest tokens find room first";
  static constexpr const char* kSource = "Riquelme et al. 2021, arXiv 2106.05974";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.drops_tokens = traits.batch_dependent = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    int64_t k = 2;
    Options() { capacity_factor = evaluation_capacity_factor = 1.05, drop_order = "priority", noise = 1; }
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      ChoiceOptions::fields(v);
    }
  };

  BatchPriority(const Options& options, const Context& context)
      : TokenChoice("policies/batch_priority", PolicyTraits{}, options, context.experts, options.k),
        options_(options) {
    GW_CHECK(
        options.drop_order == "priority",
        "policies/batch_priority: expected drop_order = priority; by position it is policies/softmax_top_k");
  }

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.logits = scores;
    choice.ranking = biased(
        choice.table, scores);  // not the scores: priority compares tokens, whose scores may have any offset
    choice.expert = top_k(choice.ranking, options_.k);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::BatchPriority);
