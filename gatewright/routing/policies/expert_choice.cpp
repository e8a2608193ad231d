#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"
#include "gatewright/routing/select.h"

namespace gw::inline routing {
namespace {

/// Experts choose tokens: the load is even by construction, and a token gets as many experts as want it.
/// Math:   p = softmax(s) over experts; expert e takes its n tokens of largest p_te, n = ceil(T·c/E) (at most
///         T); weight = p_te, or with weight = "one" exactly 1, with the gradient of E·p_te. T: all tokens,
///         or with room = "sequence" those of each text, so that a text's experts do not depend on the others
///         of the batch.
/// Shapes: scores [T, E] → plan with N = E·n rows; T < E gives every expert one token at least.
/// Errors: ValueError for room = "sequence" without sequences, or with one in several pieces.
/// Ties:   lowest token index.
/// Source: Zhou et al. 2022, arXiv 2202.09368; by texts and with weight one after Yang et al. 2025, arXiv
///         2503.02495, whose code normalises over the batch. Not causal: in a sequence model a token's
///         experts depend on later tokens.
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
    std::string room = "batch", weight = "probability";
    void fields(OptionVisitor& v) override {
      v.real("capacity_factor", capacity_factor, "experts per token on average", 1e-6, 1e6);
      v.text("room", room, "among which tokens an expert takes its share", {"batch", "sequence"});
      v.text("weight", weight, "of a chosen expert; one: experts are added up", {"probability", "one"});
    }
  };

  ExpertChoice(const Options& options, const Context& context)
      : options_(options), experts_(context.experts) {}

  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const override {
    RouterInputs inputs;
    inputs.rng = rng;
    return plan_for(scores, inputs, train);
  }

  RoutingPlan plan_for(const at::Tensor& scores, const RouterInputs& inputs, bool) const override {
    check_scores("policies/expert_choice", scores, experts_);
    auto p = at::softmax(scores, 1);
    // By log p: in f32 p is 0 for tokens that are 104 and 200 off alike.
    const auto preference = at::log_softmax(scores.detach(), 1)
                                .t()
                                .masked_fill(scores.detach().t().le(kMaskedScore / 2), kMaskedScore);
    std::vector<at::Tensor> taken;
    int64_t begin = 0;
    for (const int64_t size : sizes(scores.size(0), inputs.sequence)) {
      const auto own = top_k(preference.narrow(1, begin, size), share_of(size));
      taken.push_back(at::where(own.lt(0), own, own + begin));
      begin += size;
    }
    const auto token = taken.empty() ? at::empty({experts_, 0}, at::kLong) : at::cat(taken, 1);
    if (options_.weight == "one") p = union_weights(p);
    auto plan = make_expert_plan(token, p.t().gather(1, token.clamp_min(0)), scores.size(0));
    plan.scores = scores;
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override {
    auto traits = kTraits;
    traits.straight_through = options_.weight == "one";
    if (options_.room == "sequence") traits.needs = "sequence";
    return traits;
  }

 private:
  int64_t share_of(int64_t tokens) const {
    const double even =
        static_cast<double>(tokens) * options_.capacity_factor / static_cast<double>(experts_);
    return std::min(tokens, static_cast<int64_t>(std::ceil(even - 1e-9)));
  }

  /// Of the groups of neighbours among which every expert chooses.
  std::vector<int64_t> sizes(int64_t tokens, const at::Tensor& sequence) const {
    if (options_.room == "batch" || tokens == 0) return {tokens};
    return neighbours("policies/expert_choice",
                      required_ids("policies/expert_choice", "sequence", sequence, tokens, -1));
  }

  Options options_;
  int64_t experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::ExpertChoice);
