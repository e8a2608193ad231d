#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Experts drawn uniformly, whatever the scores.
/// Math:   K distinct experts per batch ("batch") or per token ("token"), weight 1/K; in evaluation the same,
///         or all experts with weight 1/E ("average").
/// Shapes: scores [T, E] (shape only) → plan with N = T·K rows, or T·E.
/// Errors: ValueError if K > E.
/// Source: Zuo et al. 2021, arXiv 2110.04260 (THOR): two experts per layer and batch, and a consistency loss
///         between their two answers: objectives/thor. Also the control that every learned router must beat.
class Random : public Policy {
 public:
  static constexpr const char* kSummary = "experts drawn uniformly per batch or token";
  static constexpr const char* kSource = "Zuo et al. 2021, arXiv 2110.04260";
  static constexpr PolicyTraits kTraits = [] {
    PolicyTraits traits;
    traits.differentiable = false;
    traits.random = traits.sums_to_one = true;
    return traits;
  }();
  struct Options : OptionSet {
    int64_t k = 1;
    std::string per = "batch", evaluation = "random";
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.text("per", per, "what shares a draw", {"batch", "token"});
      v.text("evaluation", evaluation, "a draw as in training, or the mean of all experts",
             {"random", "average"});
    }
  };

  Random(const Options& options, const Context& context) : options_(options), experts_(context.experts) {
    GW_CHECK(options.k <= experts_,
             "policies/random: expected k <= experts ({}), got {}; lower k or raise experts", experts_,
             options.k);
  }

  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const override {
    check_scores("policies/random", scores, experts_);
    const bool all = !train && options_.evaluation == "average";
    const int64_t tokens = scores.size(0), k = all ? experts_ : options_.k;
    auto expert = at::empty({tokens, k}, at::kLong);
    int64_t* out = expert.data_ptr<int64_t>();
    auto drawn = rng.fork("policies/random").permutation(experts_);
    for (int64_t t = 0; t < tokens; ++t, out += k) {
      if (options_.per == "token")
        drawn = rng.fork("policies/random", static_cast<uint64_t>(t) + 1).permutation(experts_);
      std::copy_n(drawn.begin(), k, out);
    }
    auto plan = make_plan(expert, at::full({tokens, k}, 1.0 / static_cast<double>(k), scores.scalar_type()),
                          experts_);
    plan.scores = scores;
    plan.facts.first_choice = expert.select(1, 0);
    return plan;
  }

  int64_t experts() const override { return experts_; }
  PolicyTraits traits() const override {
    auto traits = kTraits;
    traits.random = options_.evaluation == "random";
    return traits;
  }

 private:
  Options options_;
  int64_t experts_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Policy, gw::Random);
