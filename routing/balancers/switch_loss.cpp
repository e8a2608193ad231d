#include <ATen/ATen.h>

#include "base/registry.h"
#include "routing/balancer.h"
#include "routing/load.h"

namespace gw {
namespace {

/// Couples the share of rows with the mean probability of every expert.
/// Math:   L = c · E · Σ_e f_e P_e, f_e = rows_e / T (a constant), P_e = mean_t softmax(s_t)_e.
/// Balance: K, because Σ f_e = K. Collapse (K = 1): E.
/// Source: Fedus et al. 2021, arXiv 2101.03961, eq. 4-6.
class SwitchLoss : public Balancer {
 public:
  static constexpr const char* kSummary = "E * sum of row share times mean probability";
  static constexpr const char* kSource = "Fedus et al. 2021, arXiv 2101.03961";
  struct Options : OptionSet {
    double coefficient = 0.01;
    void fields(OptionVisitor& v) override { v.real("coefficient", coefficient, "weight of the loss", 0, 1e6); }
  };

  SwitchLoss(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    if (plan.tokens == 0) return plan.scores.sum();
    const auto share = load(plan) / static_cast<double>(plan.tokens);
    const auto mean_probability = at::softmax(plan.scores, 1).mean(0);
    return options_.coefficient * static_cast<double>(plan.experts()) * (share * mean_probability).sum();
  }

  double at_balance(int64_t, int64_t k) const override { return static_cast<double>(k); }
  double at_collapse(int64_t experts) const override { return static_cast<double>(experts); }
  double coefficient() const override { return options_.coefficient; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Balancer, gw::SwitchLoss);
