#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Rewards experts that are used evenly by all and surely by each: information between token (or task) and
/// expert.
/// Math:   I = H(mean p) − mean H(p_t) per token; by = "task": H(mean p) − Σ_m P(m) H(mean p over tokens of
///         task m). L = c · (ln E − I).
/// Balance with uniform scores: ln E (nobody is sure). Collapse: ln E. Even and sure (each token one expert):
/// 0.
/// Shapes: by = "task" wants plan.facts.task [T]; P(m) is each task's share of the batch.
/// Source: Chen et al. 2022, arXiv 2212.08066 (Mod-Squad), section 3.3; differs: the gradient reaches the
///         probabilities.
class MutualInformation : public Balancer {
 public:
  static constexpr const char* kSummary = "lack of mutual information between tokens or tasks and experts";
  static constexpr const char* kSource = "Chen et al. 2022, arXiv 2212.08066";
  static constexpr BalancerTraits kTraits = [] {
    BalancerTraits traits;
    traits.needs = "task, where by = \"task\"";
    return traits;
  }();
  struct Options : OptionSet {
    double coefficient = 0.01;
    std::string by = "token";
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
      v.text("by", by, "information between experts and tokens, or tasks", {"token", "task"});
    }
  };

  MutualInformation(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return zero_loss(plan);
    const auto p = probabilities(plan).clamp_min(0);
    const auto normalised = p / p.sum(1, true).clamp_min(1e-30);
    const auto conditional =
        options_.by == "task" ? by_task(plan, normalised) : over_ranks(plan, entropy(normalised).sum());
    const auto information =
        entropy(over_ranks(plan, normalised.sum(0, true)) / tokens).sum() - conditional / tokens;
    return options_.coefficient * (std::log(static_cast<double>(plan.experts())) - information);
  }

  double at_balance(int64_t experts, int64_t) const override {
    return std::log(static_cast<double>(experts));
  }
  double at_collapse(int64_t experts) const override { return std::log(static_cast<double>(experts)); }
  double coefficient() const override { return options_.coefficient; }

 private:
  static at::Tensor entropy(const at::Tensor& p) { return -(p * p.clamp_min(1e-30).log()).sum(1); }

  // Σ_m T_m H(mean p over the tokens of task m).
  static at::Tensor by_task(const RoutingPlan& plan, const at::Tensor& p) {
    const auto& given = plan.facts.task;
    GW_CHECK(given.defined(),
             "balancers/mutual_information: expected the \"task\" of each token, got none; set "
             "RouterInputs::task");
    const auto task = required_ids("balancers/mutual_information", "task", given, plan.tokens,
                                   1 << 20);  // as many as gates take: a table of them is made
    const int64_t here = plan.tokens == 0 ? 0 : task.max().item<int64_t>() + 1;
    const int64_t count = plan.ranks == nullptr ? here : plan.ranks->largest(here);
    const auto size = over_ranks(plan, at::bincount(task, {}, count).to(p.scalar_type()));
    const auto sum = over_ranks(plan, at::zeros({count, plan.experts()}, p.options()).index_add(0, task, p));
    return (entropy(sum / size.clamp_min(1).unsqueeze(1)) * size).sum();
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::MutualInformation);
