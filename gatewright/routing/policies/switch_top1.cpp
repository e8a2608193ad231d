#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/select.h"
#include "gatewright/routing/token_choice.h"

namespace gw::inline routing {
namespace {

/// One expert per token, with its probability as weight and room for a quarter more than an even share.
/// Math:   e = argmax p, p = softmax(s), weight = p_e; C = ceil(T·f/E), f = 1.25 while training and 2 in
///         evaluation.
/// Shapes: scores [T, E] → plan with N ≤ T rows. Rows beyond C are dropped by position.
/// Grad:   through p_e, which is therefore never renormalised.
/// Source: Fedus et al. 2021, arXiv 2101.03961, section 2; differs: the 1 % jitter multiplies the scores, not
///         the gate's input. `overflow = "bypass"` is the early public release, in which a dropped token
///         passes as p·x.
class SwitchTop1 : public TokenChoice {
 public:
  static constexpr const char* kSummary =
      "one expert per token, weighted by its probability, with limited room";
  static constexpr const char* kSource = "Fedus et al. 2021, arXiv 2101.03961";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.drops_tokens = traits.batch_dependent = traits.order_dependent = true;
    return traits;
  }();
  struct Options : ChoiceOptions {
    Options() { capacity_factor = 1.25, evaluation_capacity_factor = 2, jitter = 0.01; }
  };

  SwitchTop1(const Options& options, const Context& context)
      : TokenChoice("policies/switch_top1", PolicyTraits{}, options, context.experts, 1), options_(options) {
    GW_CHECK(
        !options.renormalise,
        "policies/switch_top1: expected renormalise = false, got true; one weight divided by itself is 1 and "
        "no gradient would reach the router");
  }

 protected:
  Choice choose(const at::Tensor& scores, bool, const Rng&) const override {
    Choice choice;
    choice.table = at::softmax(scores, 1);
    choice.ranking = biased(options_.selection_bias ? choice.table : scores, scores);
    choice.expert = top_k(choice.ranking, 1);
    return choice;
  }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::SwitchTop1);
