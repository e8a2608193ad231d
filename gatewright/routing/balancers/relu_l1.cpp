#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Holds the number of experts per token of a ReLU router: an L1 loss whose coefficient follows the sparsity,
/// weighted by load.
/// Math:   L = λ · mean_t Σ_e F_e g_te, g = max(s, 0), F_e = E/(K·T) · rows_e (a constant; 1 with `balanced`
///         off); after each step λ ← λ · α^sign((1 − K/E) − sparsity), sparsity = 1 − rows / (T·E).
/// Says how many, not only how even: both stated values are those of zero scores, 0. With F = 1 and Σ g = K
/// it is K.
/// Source: Wang et al. 2024, arXiv 2412.14711 (ReMoE), eq. 9-12, λ₀ = 1e-8, α = 1.2.
class ReluL1 : public Balancer {
 public:
  static constexpr const char* kSummary = "adaptive L1 loss that holds K positive scores per token";
  static constexpr const char* kSource = "Wang et al. 2024, arXiv 2412.14711";
  static constexpr BalancerTraits kTraits = [] {
    BalancerTraits traits;
    traits.controller = traits.about_size = true;
    return traits;
  }();
  struct Options : OptionSet {
    double start = 1e-8, step = 1.2;
    int64_t k = 1;
    bool balanced = true;
    void fields(OptionVisitor& v) override {
      v.real("start", start, "first coefficient", 1e-30, 1e6);
      v.real("step", step, "factor on the coefficient per step", 1, 100);
      v.integer("k", k, "experts per token to hold", 1, 4096);
      v.flag("balanced", balanced, "weigh each expert's scores by its load");
    }
  };

  ReluL1(const Options& options, const Context&)
      : options_(options), coefficient_(at::full({1}, options.start, at::kDouble)) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return zero_loss(plan) * 0;
    const auto g = over_ranks(plan, at::relu(plan.scores).sum(0));
    const double even = static_cast<double>(options_.k) * tokens / static_cast<double>(plan.experts());
    return coefficient() * (options_.balanced ? g * (batch_load(plan) / even) : g).sum() / tokens;
  }

  bool controls() const override { return true; }
  void update(const RoutingPlan& plan, const Policy&) override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return;
    const auto experts = static_cast<double>(plan.experts());
    const double sparsity = 1 - batch_load(plan).sum().item<double>() / (tokens * experts),
                 target = 1 - static_cast<double>(options_.k) / experts;
    const at::NoGradGuard no_grad;
    if (sparsity < target) coefficient_.mul_(options_.step);
    if (sparsity > target) coefficient_.div_(options_.step);
  }
  NamedTensors state() const override { return {{"coefficient", coefficient_}}; }

  double at_balance(int64_t, int64_t) const override { return 0; }
  double at_collapse(int64_t) const override { return 0; }
  double coefficient() const override { return coefficient_.item<double>(); }

 private:
  Options options_;
  at::Tensor coefficient_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::ReluL1);
