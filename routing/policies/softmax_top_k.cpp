#include <ATen/ATen.h>

#include "base/registry.h"
#include "ops/random.h"
#include "routing/policy.h"

namespace gw {
namespace {

/// The K experts of largest softmax probability.
/// Math:   p = softmax(s · u), u ~ U(1−j, 1+j) while training; keep the K largest; weight = p_e, or p_e / Σ kept.
/// Shapes: scores [T, E] → plan with N = T·K rows. Units: jitter is a fraction, 0 turns it off.
/// Errors: ValueError if K > E. Ties: lowest index (stable descending sort).
/// Grad:   through the kept weights; with K = 1 and renormalise the weight is the constant 1 and no gradient flows.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 3-5 without noise; Fedus et al. 2021, arXiv 2101.03961 for K = 1;
///         differs: jitter multiplies the scores, not the gate's input.
class SoftmaxTopK : public Policy {
 public:
  static constexpr const char* kSummary = "K largest softmax probabilities, weights kept or renormalised";
  static constexpr const char* kSource = "Shazeer et al. 2017, arXiv 1701.06538; Fedus et al. 2021, arXiv 2101.03961";
  struct Options : OptionSet {
    int64_t k = 1;
    bool renormalise = false;
    double jitter = 0;
    void fields(OptionVisitor& v) override {
      v.integer("k", k, "experts per token", 1, 4096);
      v.flag("renormalise", renormalise, "kept weights sum to one");
      v.real("jitter", jitter, "relative noise on the scores while training", 0, 1);
    }
  };

  SoftmaxTopK(const Options& options, const Context& context) : options_(options), experts_(context.experts) {
    check(options.k <= experts_, "policies/softmax_top_k: expected k <= experts ({}), got {}", experts_, options.k);
  }

  RoutingPlan plan(const at::Tensor& scores, bool train, const Rng& rng) const override {
    check_scores("policies/softmax_top_k", scores, experts_);
    const bool noisy = train && options_.jitter > 0;
    const auto factor = noisy ? ops::uniform(rng, scores.sizes(), 1 - options_.jitter, 1 + options_.jitter) : at::Tensor();
    const auto p = at::softmax(noisy ? scores * factor.to(scores.scalar_type()) : scores, 1);
    const auto order = std::get<1>(p.detach().sort(/*stable=*/true, 1, /*descending=*/true)).narrow(1, 0, options_.k);
    auto weight = p.gather(1, order);
    if (options_.renormalise) weight = weight / weight.sum(1, true);
    auto plan = make_plan(order, weight, experts_);
    plan.scores = scores;
    return plan;
  }

  int64_t experts() const override { return experts_; }

 private:
  Options options_;
  int64_t experts_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Policy, gw::SoftmaxTopK);
