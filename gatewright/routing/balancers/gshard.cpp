#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Like the Switch loss, with the share of first choices, before any capacity, in place of the share of rows.
/// Math:   L = c · E · Σ_e c_e m_e, c_e = share of tokens whose first choice is e (a constant), m_e = mean_t
///         p_te.
/// Balance: 1 for every K. Collapse: E.
/// Source: Lepikhin et al. 2020, arXiv 2006.16668, section 2.2 (in the scale of Tutel and V-MoE); NLLB uses
///         the same.
class Gshard : public Balancer {
 public:
  static constexpr const char* kSummary = "E * sum of first-choice share times mean probability";
  static constexpr const char* kSource = "Lepikhin et al. 2020, arXiv 2006.16668";
  struct Options : OptionSet {
    double coefficient = 0.01;
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
    }
  };

  Gshard(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return zero_loss(plan);
    const auto p = probabilities(plan);
    const auto share =
        over_ranks(plan, counts_of(first_choices(plan), plan.experts(), p.scalar_type())) / tokens;
    return options_.coefficient * static_cast<double>(plan.experts()) *
           (share * over_ranks(plan, p.sum(0))).sum() / tokens;
  }

  double at_balance(int64_t, int64_t) const override { return 1; }
  double at_collapse(int64_t experts) const override { return static_cast<double>(experts); }
  double coefficient() const override { return options_.coefficient; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::Gshard);
