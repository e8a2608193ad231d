#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/robust/adv_moe_options.h"
#include "gatewright/train/robust/strays.h"
#include "gatewright/train/robust/threat_model.h"

namespace gw::inline train {
namespace {

/// AdvMoE: alternating steps on the experts (router frozen) and on the router (experts frozen), the attack
/// made anew for each.
/// Math:   expert step: CE(f(x), y) + β·KL(f(x) ‖ f(x'))/B over the backbone.
///         router step, label_mod_n: α·CE(s(x), y mod E) + β·KL(s(x) ‖ s(x'))/B over the router, as in the
///         published code;
///         router step, groups: the same with the group of y in place of y mod E;
///         router step, bilevel: CE(f(x), y) + β·KL(f(x) ‖ f(x'))/B over the router, as in the paper, through
///         the straight-through selection with the experts' batch norm in evaluation mode;
///         router_attack = "bounds": α·CE(s(x), t) + β·CE(−l(x), t), l the smallest leads of the target's
///         score over the others within a ball that grows to ε (Gate::lead_bounds), as Gowal et al. 2018
///         train.
/// Source: Zhang et al. 2023, arXiv 2308.10110, and its published code, which trains the router on labels:
///         the task loss never reaches it there. The bilevel variant alone tends to send all images to one
///         expert; `balancer` counters. Ours: groups, so that labels which are mistaken for each other meet
///         one expert; expert_attack = "pathway", where x' is sought and judged on the pathway of x (nothing
///         is asked of the route, which the experts cannot mend); strays, images that learn on another
///         pathway than their own, because an attack may send them there.
/// Errors: ValueError for groups that are not the network's labels shared out among its experts, in the first
///         step, and for strays without expert_attack = "pathway".
class AdvMoe : public Objective {
 public:
  static constexpr const char* kSummary = "alternating adversarial training of experts and router";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110";
  using Options = AdvMoeOptions;

  AdvMoe(const Options& options, const Context& context)
      : options_(options), epsilon_(threat_of(context.task, "objectives/adv_moe").epsilon) {
    balancer_ = make_balancer(options.balancer);
    groups_ = options.checked_groups();
  }

  bool separate_router() const override { return true; }

  std::vector<std::string> reports(const Task&) const override {
    return {"loss", "clean_accuracy", "robust_accuracy", "flip_rate", "uncertified", "router_loss"};
  }

  StepReport step(StepContext& c) override {
    GW_CHECK(c.network().image_routed() && c.router != nullptr,
             "objectives/adv_moe: expected a network with an image-level router, got none; "
             "set network.experts >= 2 and routing = \"image\", or use objectives/trades");
    GW_CHECK(
        !c.network().balanced(),
        "objectives/adv_moe: expected no network.balancers, whose losses its alternating steps would not "
        "see, got some; set objective.balancer");
    const auto& shape = c.network().shape();
    if (!groups_.empty()) check_label_groups("objectives/adv_moe", groups_, shape.classes, shape.experts);
    StepReport report;
    const auto scores = c.network().route(
        c.batch.at("image"),
        c.pass(c.rng.fork("router")));  // training mode, with its graph: the router step uses it too
    expert_step(c, scores, report);
    if (options_.router_attack == "bounds") {
      bounds_step(c, scores, report);
      return report;
    }
    const auto search = c.pass(c.rng.fork("router_attack"));
    const auto adversarial =
        options_.router_attack == "scores"
            ? route_images(c.network(), c.batch.at("image"), scores, options_, epsilon_, search)
            : trades_images(c.network(), c.batch.at("image"), scores, options_, epsilon_, search);
    options_.router_target == "bilevel" ? bilevel_step(c, adversarial, report)
                                        : label_step(c, scores, adversarial, report);
    return report;
  }

 private:
  void expert_step(StepContext& c, const at::Tensor& clean_scores, StepReport& report) {
    const auto& y = c.batch.at("label");
    const bool fixed = options_.expert_attack == "pathway";
    const auto scores = with_strays(clean_scores, options_.strays, c.rng.fork("strays"));
    auto search = c.pass(c.rng.fork("expert_attack"));
    if (fixed) search.scores = scores, search.record_router = false;
    const auto adversarial = trades_images(c.network(), c.batch.at("image"), fixed ? at::Tensor() : scores,
                                           options_, epsilon_, search);
    auto given = c.pass(c.rng.fork("expert_clean"));
    auto silent = c.pass(c.rng.fork("expert_attacked"), RoutePurpose::kAttacked);
    given.record_router = silent.record_router = false;  // decisions without a gradient to the router
    given.scores = scores;
    if (fixed) silent.scores = scores;
    const auto clean = c.network().forward(c.batch.at("image"), given);
    const auto attacked = c.network().forward(adversarial, silent);
    const auto loss = c.label_loss(clean.logits) + options_.beta * mean_kl(clean.logits, attacked.logits);
    c.experts.step(parameter_gradients(loss, c.experts.values(), "expert loss"), c.lr);
    report.values = {{"loss", loss.item<double>()},
                     {"clean_accuracy", accuracy(clean.logits, y)},
                     {"robust_accuracy", accuracy(attacked.logits, y)}};
    report.load = first_load(clean.plans);
    if (!fixed) note_flips(clean.scores, attacked.scores, report);
  }

  /// Where the experts' attack leaves routes alone, the router's attack says how many change.
  static void note_flips(const at::Tensor& clean, const at::Tensor& attacked, StepReport& report) {
    const auto flips = clean.argmax(1).ne(attacked.argmax(1));
    report.values.try_emplace("flip_rate", flips.to(at::kDouble).mean().item<double>());
  }

  void label_step(StepContext& c, const at::Tensor& scores, const at::Tensor& adversarial,
                  StepReport& report) {
    const auto attacked = c.network().route(adversarial, c.pass(c.rng.fork("router")));
    note_flips(scores, attacked, report);
    learn(c, label_loss(c, scores) + options_.beta * mean_kl(scores, attacked), report);
  }

  /// The images of the ball that are worst for the scores, in place of those that an attack finds.
  void bounds_step(StepContext& c, const at::Tensor& scores, StepReport& report) {
    const auto target = targets(c);
    const double share = options_.bounds_ramp > 0 ? std::min(1.0, c.progress / options_.bounds_ramp) : 1.0;
    const auto leads =
        c.network().route_leads(c.batch.at("image"), target, at::full({target.size(0)}, epsilon_ * share));
    report.values["uncertified"] = leads.detach().amin(1).lt(0).to(at::kDouble).mean().item<double>();
    learn(
        c,
        label_loss(c, scores) + options_.beta * at::cross_entropy_loss(leads.neg(), target, weights(scores)),
        report);
  }

  at::Tensor targets(const StepContext& c) const {
    const auto& y = c.batch.at("label");
    return groups_.empty() ? y.remainder(c.network().shape().experts)
                           : group_of_labels(groups_).index_select(0, y);
  }

  at::Tensor weights(const at::Tensor& scores) const {
    return options_.balanced_groups ? group_weights(groups_).to(scores.scalar_type()) : at::Tensor();
  }

  at::Tensor label_loss(const StepContext& c, const at::Tensor& scores) const {
    return options_.alpha * at::cross_entropy_loss(scores, targets(c), weights(scores));
  }

  static void learn(StepContext& c, const at::Tensor& loss, StepReport& report) {
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
    note_flips(clean.scores, attacked.scores, report);
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
  LabelGroups groups_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::AdvMoe);
