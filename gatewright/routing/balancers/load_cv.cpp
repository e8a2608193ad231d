#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Squared coefficient of variation of a smooth load: the chance, under fresh noise, that a token would
/// choose the expert.
/// Math:   Load_e = Σ_t Φ((clean_te − θ_te) / σ_te), θ_te = the K-th largest noisy score of t without e, K =
///         rows/T rounded; L = c · Var(Load) / Mean(Load)². Without noise in the plan, σ = `deviation` / E
///         and clean = the scores (V-MoE's form).
/// Balance: 0. Collapse (K = 1, gap far above the noise): E − 1.
/// Grad:   through clean scores, thresholds and the noise's size.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, appendix A; Riquelme et al. 2021, arXiv 2106.05974.
class LoadCv : public Balancer {
 public:
  static constexpr const char* kSummary = "squared coefficient of variation of the smoothed load";
  static constexpr const char* kSource = "Shazeer et al. 2017, arXiv 1701.06538";
  static constexpr BalancerTraits kTraits = [] {
    BalancerTraits traits;
    traits.needs = "noisy scores, or assumes the noise";
    return traits;
  }();
  struct Options : OptionSet {
    double coefficient = 0.1, deviation = 1;
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
      v.real("deviation", deviation, "assumed noise in units of 1/E where the plan has none", 1e-6, 1e6);
    }
  };

  LoadCv(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0 || plan.experts() < 2) return zero_loss(plan) * 0;
    const auto mean_k = static_cast<int64_t>(std::lround(batch_load(plan).sum().item<double>() / tokens));
    const auto chances = over_ranks(plan, smooth_choice(plan, mean_k).sum(0));
    const auto mean = chances.mean();
    return options_.coefficient * (chances - mean).square().mean() / mean.square();
  }

  double at_balance(int64_t, int64_t) const override { return 0; }
  double at_collapse(int64_t experts) const override { return static_cast<double>(experts - 1); }
  double coefficient() const override { return options_.coefficient; }

 private:
  at::Tensor smooth_choice(const RoutingPlan& plan, int64_t mean_k) const {
    GW_CHECK(plan.scores.defined() && plan.scores.size(1) == plan.experts(),
             "balancers/load_cv: expected a plan with scores of {} experts", plan.experts());
    const bool noisy = plan.facts.noise_std.defined();
    const auto clean = noisy ? plan.facts.logits : plan.scores;
    // Learned noise may vanish: the gradient's 1/σ² then leaves f32, and a tie is 0/0. 1e-4 keeps 1/σ² at 1e8
    // and is far below any noise that mixes.
    const auto deviation =
        noisy ? plan.facts.noise_std.clamp_min(1e-4)
              : at::full_like(clean, options_.deviation / static_cast<double>(plan.experts()));
    const auto& seen = plan.scores;
    const int64_t k = std::min(std::max<int64_t>(1, mean_k), plan.experts() - 1);
    // Without e, the K-th largest is the (K+1)-th of all for those inside the top K, and the K-th for the
    // others.
    const auto best = std::get<0>(seen.topk(k + 1, 1));
    const auto inside = best.select(1, k - 1).unsqueeze(1), outside = best.select(1, k).unsqueeze(1);
    const auto threshold = at::where(seen.ge(inside), outside, inside);
    return (1 + at::erf((clean - threshold) / (deviation * std::sqrt(2.0)))) / 2;
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::LoadCv);
