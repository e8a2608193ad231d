#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Couples the share of rows with the mean probability of every expert.
/// Math:   L = c · E · Σ_e f_e P_e, f_e = rows_e / T (a constant), P_e = mean_t p_te.
///         count = "rows": all rows; "single": rows of tokens with exactly one expert, over their number
///         (adaptive gating).
/// Balance: K, because Σ f_e = K ("single": 1). Collapse (K = 1): E.
/// Source: Fedus et al. 2021, arXiv 2101.03961, eq. 4-6; "single": Li et al. 2023, arXiv 2310.07188.
class SwitchLoss : public Balancer {
 public:
  static constexpr const char* kSummary = "E * sum of row share times mean probability";
  static constexpr const char* kSource = "Fedus et al. 2021, arXiv 2101.03961";
  struct Options : OptionSet {
    double coefficient = 0.01;
    std::string count = "rows";
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
      v.text("count", count, "rows that make up the share", {"rows", "single"});
    }
  };

  SwitchLoss(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return zero_loss(plan);
    const auto mean_probability = over_ranks(plan, probabilities(plan).sum(0)) / tokens;
    const auto share = options_.count == "single" ? single_share(plan) : batch_load(plan) / tokens;
    return options_.coefficient * static_cast<double>(plan.experts()) * (share * mean_probability).sum();
  }

  double at_balance(int64_t, int64_t k) const override {
    return options_.count == "single" ? 1 : static_cast<double>(k);
  }
  double at_collapse(int64_t experts) const override { return static_cast<double>(experts); }
  double coefficient() const override { return options_.coefficient; }

 private:
  static at::Tensor single_share(const RoutingPlan& plan) {
    const auto expert = expert_of_rows(plan);
    const auto rows = at::bincount(plan.token, {}, plan.tokens).index_select(0, plan.token);
    const auto single = expert.masked_fill(rows.ne(1), -1);
    const auto counts = over_ranks(plan, counts_of(single, plan.experts(), plan.scores.scalar_type()));
    return counts / counts.sum().clamp_min(1);
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::SwitchLoss);
