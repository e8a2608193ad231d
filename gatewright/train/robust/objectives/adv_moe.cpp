#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/robust/threat_model.h"
#include "gatewright/train/robust/trades.h"

namespace gw::inline train {
namespace {

/// AdvMoE: alternating steps on the experts (router frozen) and on the router (experts frozen), the attack
/// made anew for each.
/// Math:   expert step: CE(f(x), y) + β·KL(f(x) ‖ f(x'))/B over the backbone.
///         router step, label_mod_n: α·CE(s(x), y mod E) + β·KL(s(x) ‖ s(x'))/B over the router, as in the
///         published code;
///         router step, bilevel: CE(f(x), y) + β·KL(f(x) ‖ f(x'))/B over the router, as in the paper, through
///         the straight-through selection with the experts' batch norm in evaluation mode.
/// Source: Zhang et al. 2023, arXiv 2308.10110, and its published code, which trains the router on labels:
///         the task loss never reaches it there. The bilevel variant alone tends to send all images to one
///         expert; `balancer` counters.
class AdvMoe : public Objective {
 public:
  static constexpr const char* kSummary = "alternating adversarial training of experts and router";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110";
  struct Options : TradesOptions {
    double alpha = 6;
    std::string router_target = "label_mod_n", balancer = "{}";
    void fields(OptionVisitor& v) override {
      TradesOptions::fields(v);
      v.real("alpha", alpha, "weight of the router's label loss", 0, 1e6);
      v.text("router_target", router_target,
             "what teaches the router: labels modulo E (published code) or the task loss (paper)",
             {"label_mod_n", "bilevel"});
      v.table("balancer", balancer,
              "a balance loss of the bilevel router step: {part = \"switch_loss\", coefficient = 1}");
    }
  };

  AdvMoe(const Options& options, const Context& context)
      : options_(options), epsilon_(threat_of(context.task, "objectives/adv_moe").epsilon) {
    balancer_ = make_balancer(options.balancer);
  }

  bool separate_router() const override { return true; }

  std::vector<std::string> reports(const Task&) const override {
    return {"loss", "clean_accuracy", "robust_accuracy", "flip_rate", "router_loss"};
  }

  StepReport step(StepContext& c) override {
    GW_CHECK(c.network().image_routed() && c.router != nullptr,
             "objectives/adv_moe: expected a network with an image-level router, got none; "
             "set network.experts >= 2 and routing = \"image\", or use objectives/trades");
    GW_CHECK(
        !c.network().balanced(),
        "objectives/adv_moe: expected no network.balancers, whose losses its alternating steps would not "
        "see, got some; set objective.balancer");
    StepReport report;
    const auto scores = c.network().route(
        c.batch.at("image"),
        c.pass(c.rng.fork("router")));  // training mode, with its graph: the router step uses it too
    expert_step(c, scores, report);
    const auto adversarial = trades_images(c.network(), c.batch.at("image"), scores, options_, epsilon_,
                                           c.pass(c.rng.fork("router_attack")));
    options_.router_target == "bilevel" ? bilevel_step(c, adversarial, report)
                                        : label_step(c, scores, adversarial, report);
    return report;
  }

 private:
  void expert_step(StepContext& c, const at::Tensor& scores, StepReport& report) {
    const auto& y = c.batch.at("label");
    const auto adversarial = trades_images(c.network(), c.batch.at("image"), scores, options_, epsilon_,
                                           c.pass(c.rng.fork("expert_attack")));
    auto given = c.pass(c.rng.fork("expert_clean"));
    auto silent = c.pass(c.rng.fork("expert_attacked"), RoutePurpose::kAttacked);
    given.record_router = silent.record_router = false;  // decisions without a gradient to the router
    given.scores = scores;
    const auto clean = c.network().forward(c.batch.at("image"), given);
    const auto attacked = c.network().forward(adversarial, silent);
    const auto loss =
        at::cross_entropy_loss(clean.logits, y) + options_.beta * mean_kl(clean.logits, attacked.logits);
    c.experts.step(parameter_gradients(loss, c.experts.values(), "expert loss"), c.lr);
    report.values = {{"loss", loss.item<double>()},
                     {"clean_accuracy", accuracy(clean.logits, y)},
                     {"robust_accuracy", accuracy(attacked.logits, y)}};
    report.load = first_load(clean.plans);
    const auto flips = clean.scores.argmax(1).ne(attacked.scores.argmax(1));
    report.values["flip_rate"] = flips.to(at::kDouble).mean().item<double>();
  }

  void label_step(StepContext& c, const at::Tensor& scores, const at::Tensor& adversarial,
                  StepReport& report) {
    const auto target = c.batch.at("label").remainder(c.network().shape().experts);
    const auto loss =
        options_.alpha * at::cross_entropy_loss(scores, target) +
        options_.beta * mean_kl(scores, c.network().route(adversarial, c.pass(c.rng.fork("router"))));
    note_reach(c, report, "router loss", loss);
    c.router->step(parameter_gradients(loss, c.router->values(), "router loss"), c.lr);
    report.values["router_loss"] = loss.item<double>();
  }

  void bilevel_step(StepContext& c, const at::Tensor& adversarial, StepReport& report) {
    const EvaluationScope statistics(c.network().backbone());
    std::optional<ops::FrozenParameters> frozen(
        std::in_place);  // experts are constants here: batch norm folded, no weight gradients
    const auto clean = c.network().forward(c.batch.at("image"), c.pass(c.rng.fork("router_clean")));
    const auto attacked =
        c.network().forward(adversarial, c.pass(c.rng.fork("router_attacked"), RoutePurpose::kAttacked));
    auto loss = at::cross_entropy_loss(clean.logits, c.batch.at("label")) +
                options_.beta * mean_kl(clean.logits, attacked.logits);
    if (balancer_) {
      const auto balance = balancer_->loss(clean.plans.front().plan);
      note_reach(c, report, "balance", balance);
      loss = loss + balance;
    }
    note_reach(c, report, "router loss", loss);
    const auto gradients = parameter_gradients(loss, c.router->values(), "router loss");
    frozen.reset();  // the step writes weights
    c.router->step(gradients, c.lr);
    report.values["router_loss"] = loss.item<double>();
  }

  Options options_;
  double epsilon_;
  std::shared_ptr<Balancer> balancer_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::AdvMoe);
