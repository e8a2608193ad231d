#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Keeps the scores small, so that the softmax neither saturates nor overflows in low precision. Says nothing
/// of balance:
/// both stated values are those of zero scores.
/// Math:   L = c · mean_t (log Σ_e exp s_te)².
/// Source: Zoph et al. 2022, arXiv 2202.08906, eq. 5.
class ZLoss : public Balancer {
 public:
  static constexpr const char* kSummary = "mean squared log-sum-exp of the scores";
  static constexpr const char* kSource = "Zoph et al. 2022, arXiv 2202.08906";
  static constexpr BalancerTraits kTraits = [] {
    BalancerTraits traits;
    traits.about_size = true;
    return traits;
  }();
  struct Options : OptionSet {
    double coefficient = 0.001;
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
    }
  };

  ZLoss(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return zero_loss(plan);
    return options_.coefficient * over_ranks(plan, at::logsumexp(plan.scores, 1).square().sum()) / tokens;
  }

  double at_balance(int64_t experts, int64_t) const override {
    return std::pow(std::log(static_cast<double>(experts)), 2);
  }
  double at_collapse(int64_t experts) const override { return at_balance(experts, 1); }
  double coefficient() const override { return options_.coefficient; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::ZLoss);
