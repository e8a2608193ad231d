#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Squared coefficient of variation of the summed probabilities.
/// Math:   I_e = Σ_t softmax(s_t)_e, L = c · Var(I) / Mean(I)², population variance.
/// Balance: 0. Collapse: E − 1.
/// Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 6-7; differs: I sums all probabilities, not only the
///         kept ones, so that losing experts receive gradient as well.
class Importance : public Balancer {
 public:
  static constexpr const char* kSummary = "squared coefficient of variation of the summed probabilities";
  static constexpr const char* kSource = "Shazeer et al. 2017, arXiv 1701.06538";
  struct Options : OptionSet {
    double coefficient = 0.1;
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
    }
  };

  Importance(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    if (batch_tokens(plan) == 0) return zero_loss(plan);
    const auto importance = over_ranks(plan, probabilities(plan).sum(0));
    const auto mean = importance.mean();
    // Policies may choose nobody (relu): no importance is no imbalance, and 0/0 would end the training. The
    // floor lies below one token over 2^20 experts, the most there are (9.5e-7), and its square is a number
    // in f32.
    return options_.coefficient * (importance - mean).square().mean() / mean.clamp_min(1e-9).square();
  }

  double at_balance(int64_t, int64_t) const override { return 0; }
  double at_collapse(int64_t experts) const override { return static_cast<double>(experts - 1); }
  double coefficient() const override { return options_.coefficient; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::Importance);
