#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"
#include "gatewright/routing/policy.h"

namespace gw::inline routing {
namespace {

/// Balance without a loss: after each step the selection bias of overloaded experts falls and that of the
/// others rises.
/// Math:   b_e += γ · sign(mean load − load_e), over the whole batch of a step; rule "proportional": γ ·
///         (mean − load_e) / mean.
/// Balance: nothing changes. Collapse: the one bias falls, all others rise.
/// Needs:  a policy with selection_bias = true (deepseek_v3 has it).
/// Source: Wang et al. 2024, arXiv 2408.15664 (loss-free balancing), algorithm 1; DeepSeek-AI 2024, arXiv
///         2412.19437 with γ = 0.001.
class BiasUpdate : public Balancer {
 public:
  static constexpr const char* kSummary =
      "moves the policy's selection bias against the load after each step; no loss";
  static constexpr const char* kSource = "Wang et al. 2024, arXiv 2408.15664";
  static constexpr BalancerTraits kTraits = [] {
    BalancerTraits traits;
    traits.controller = true;
    traits.needs = "a policy with selection_bias";
    return traits;
  }();
  struct Options : OptionSet {
    double rate = 0.001;
    std::string rule = "sign";
    void fields(OptionVisitor& v) override {
      v.real("rate", rate, "change of a bias per step", 0, 1e3);
      v.text("rule", rule, "by the sign of the imbalance, or in proportion to it", {"sign", "proportional"});
    }
  };

  BiasUpdate(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override { return zero_loss(plan).detach() * 0; }
  bool controls() const override { return true; }

  void update(const RoutingPlan& plan, const Policy& policy) override {
    at::Tensor bias;
    for (const auto& [name, tensor] : policy.state()) {
      if (name == "selection_bias") bias = tensor;
    }
    GW_CHECK(bias.defined(),
             "balancers/bias_update: expected a policy with a selection bias, got none; set selection_bias = "
             "true");
    const at::NoGradGuard no_grad;
    const auto rows = batch_load(plan).to(bias.scalar_type());
    const auto lacking = rows.mean() - rows;
    bias.add_(options_.rule == "sign" ? lacking.sign() : lacking / rows.mean().clamp_min(1e-30),
              options_.rate);
  }

  double at_balance(int64_t, int64_t) const override { return 0; }
  double at_collapse(int64_t) const override { return 0; }
  double coefficient() const override { return 1; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::BiasUpdate);
