#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Balances groups of experts that share a device, not experts inside a group.
/// Math:   groups d = 0 … G−1 of E/G neighbours; kind "compute": f_d = mean of E·rows_e/N over the group, P_d
///         = Σ p over it; kind "communication": f_d = G/M · share of tokens with a row in the group, M =
///         groups per token on average.
///         L = c · Σ_d f_d P_d.
/// Balance: 1. Collapse: G.
/// Errors: ValueError unless the number of groups divides E.
/// Source: DeepSeek-AI 2024, arXiv 2405.04434, section 2.1.3, eq. 26-34, with c = 0.05 and 0.02. M is counted
///         here, a constant there.
class Device : public Balancer {
 public:
  static constexpr const char* kSummary = "balance of work or traffic between groups of experts";
  static constexpr const char* kSource = "DeepSeek-AI 2024, arXiv 2405.04434";
  struct Options : OptionSet {
    double coefficient = 0.05;
    int64_t groups = 2;
    std::string kind = "compute";
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
      v.integer("groups", groups, "groups (devices) that the experts are divided into", 1, 4096);
      v.text("kind", kind, "rows that a group computes, or tokens that are sent to it",
             {"compute", "communication"});
    }
  };

  Device(const Options& options, const Context& context) : options_(options) {
    GW_CHECK(context.experts == 0 || context.experts % options.groups == 0,
             "balancers/device: expected a number of groups that divides {} experts, got {}", context.experts,
             options.groups);
  }

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    const auto rows = batch_load(plan);
    if (tokens == 0 || rows.sum().item<double>() == 0) return zero_loss(plan) * 0;
    const int64_t groups = options_.groups, each = plan.experts() / groups;
    const auto p = over_ranks(plan, probabilities(plan).sum(0)).view({groups, each}).sum(1) / tokens;
    const auto factor = options_.kind == "compute" ? work(rows, groups, each) : traffic(plan, groups, each);
    return options_.coefficient * (factor.to(p.scalar_type()) * p).sum();
  }

  double at_balance(int64_t, int64_t) const override { return 1; }
  double at_collapse(int64_t) const override { return static_cast<double>(options_.groups); }
  double coefficient() const override { return options_.coefficient; }

 private:
  static at::Tensor work(const at::Tensor& rows, int64_t groups, int64_t each) {
    return rows.view({groups, each}).sum(1) * static_cast<double>(groups) / rows.sum();
  }

  static at::Tensor traffic(const RoutingPlan& plan, int64_t groups, int64_t each) {
    GW_CHECK(!plan.soft(),
             "balancers/device: expected a plan of tokens for kind = communication, got soft slots");
    const auto group = at::div(expert_of_rows(plan), each, "floor");
    auto visited = at::zeros({plan.tokens * groups}, at::kDouble);  // counts above 2^24 would stop in f32
    visited.index_fill_(0, plan.token * groups + group, 1);
    const auto visits = over_ranks(plan, visited.view({plan.tokens, groups}).sum(0));
    return visits * static_cast<double>(groups) / visits.sum();
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::Device);
