#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"
#include "gatewright/routing/select.h"

namespace gw::inline routing {
namespace {

/// Experts choose tokens: the load is even by construction, and a token gets as many experts as want it.
/// Math:   p = softmax(s) over experts; expert e takes its n tokens of largest p_te, n = ceil(T·c/E) (at most
///         T); weight = p_te.
/// Shapes: scores [T, E] → plan with N = E·n rows; T < E gives every expert one token at least.
/// Ties:   lowest token index.
/// Source: Zhou et al. 2022, arXiv 2202.09368. Not causal: in a sequence model a token's experts depend on
///         later tokens.
class ExpertChoice : public Policy {
 public:
  static constexpr const char* kSummary = "every expert takes the tokens that want it most";
  static constexpr const char* kSource = "Zhou et al. 2022, arXiv 2202.09368";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.drops_tokens = traits.batch_dependent = true;
    return traits;
  }();
  struct Options : OptionSet {
    double capacity_factor = 2;
    void fields(OptionVisitor& v) override {
      v.real("capacity_factor", capacity_factor, "experts per token on average", 1e-6, 1e6);
    }
  };

  ExpertChoice(const Options& options, const Context& context)
      : options_(options), experts_(context.experts) {}

  RoutingPlan plan(const at::Tensor& scores, bool, const Rng&) const override {
    check_scores("policies/expert_choice", scores, experts_);
    const double even =
        static_cast<double>(scores.size(0)) * options_.capacity_factor / static_cast<double>(experts_);
    const auto taken = std::min(scores.size(0), static_cast<int64_t>(std::ceil(even - 1e-9)));
    const auto p = at::softmax(scores, 1).t();
    // By log p: in f32 p is 0 for tokens that are 104 and 200 off alike.
    const auto preference = at::log_softmax(scores.detach(), 1)
                                .t()
                                .masked_fill(scores.detach().t().le(kMaskedScore / 2), kMaskedScore);
    const auto token = top_k(preference, taken);
    auto plan = make_expert_plan(token, p.gather(1, token.clamp_min(0)), scores.size(0));
    plan.scores = scores;
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override { return kTraits; }

 private:
  Options options_;
  int64_t experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::ExpertChoice);
