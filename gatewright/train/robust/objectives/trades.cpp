#include "gatewright/train/robust/trades.h"

#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/robust/threat_model.h"

namespace gw::inline train {
namespace {

/// TRADES over all parameters together: AT(Dense), AT(S-Dense), and AT(MoE) when the network is routed (the
/// router then learns through the straight-through selection alone).
/// Math:   L = CE(f(x), y) + β·KL(f(x) ‖ f(x')) / B (+ balancers).
/// Source: Zhang et al. 2019, arXiv 1901.08573; numbers of Zhang et al. 2023, arXiv 2308.10110 (β = 6, 2
///         steps of 5/255).
class Trades : public Objective {
 public:
  static constexpr const char* kSummary = "TRADES adversarial training, all parameters jointly";
  static constexpr const char* kSource = "Zhang et al. 2019, arXiv 1901.08573";
  struct Options : TradesOptions {
    PartChoice balancer;
    Options() { router_weight = 0; }
    void fields(OptionVisitor& v) override {
      TradesOptions::fields(v);
      v.part("balancer", balancer,
             "a balance loss for routed networks: {part = \"switch_loss\", coefficient = 0.01}");
    }
  };

  Trades(const Options& options, const Context& context)
      : options_(options), epsilon_(threat_of(context.task, "objectives/trades").epsilon) {
    balancer_ = make_balancer(options.balancer);
  }

  std::vector<std::string> reports(const Task&) const override {
    return {"loss", "clean_accuracy", "robust_accuracy"};
  }

  StepReport step(StepContext& c) override {
    const auto& y = c.batch.at("label");
    const auto scores =
        options_.router_weight > 0 ? c.network().route(c.batch.at("image"), c.pass(c.rng)) : at::Tensor();
    const auto adversarial = trades_images(c.network(), c.batch.at("image"), scores, options_, epsilon_,
                                           c.pass(c.rng.fork("attack")));
    const auto clean = c.network().forward(c.batch.at("image"), c.pass(c.rng.fork("clean")));
    const auto attacked =
        c.network().forward(adversarial, c.pass(c.rng.fork("attacked"), RoutePurpose::kAttacked));
    auto loss = c.label_loss(clean.logits) + options_.beta * mean_kl(clean.logits, attacked.logits);
    StepReport report;
    if (balancer_ && !clean.plans.empty()) {
      auto balance = balancer_->loss(clean.plans.front().plan);
      for (size_t i = 1; i < clean.plans.size(); ++i)
        balance = balance + balancer_->loss(clean.plans[i].plan);
      note_reach(c, report, "balance", balance);
      loss = loss + balance;
    }
    if (const auto own = balance_of(clean.plans); own.defined()) loss = loss + own;
    c.experts.step(parameter_gradients(loss, c.experts.values(), "loss"), c.lr);
    report.values = {{"loss", loss.item<double>()},
                     {"clean_accuracy", accuracy(clean.logits, y)},
                     {"robust_accuracy", accuracy(attacked.logits, y)}};
    report.load = first_load(clean.plans);
    return report;
  }

 private:
  Options options_;
  double epsilon_;
  std::shared_ptr<Balancer> balancer_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::Trades);
