#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/robust/label_groups.h"
#include "gatewright/train/robust/strays.h"
#include "gatewright/train/robust/threat_model.h"
#include "gatewright/train/robust/trades.h"

namespace gw::inline train {
namespace {

/// AdvMoE: alternating steps on the experts (router frozen) and on the router (experts frozen), the attack
/// made anew for each.
/// Math:   expert step: CE(f(x), y) + β·KL(f(x) ‖ f(x'))/B over the backbone.
///         router step, label_mod_n: α·CE(s(x), y mod E) + β·KL(s(x) ‖ s(x'))/B over the router, as in the
///         published code;
///         router step, groups: the same with the group of y in place of y mod E;
///         router step, bilevel: CE(f(x), y) + β·KL(f(x) ‖ f(x'))/B over the router, as in the paper, through
///         the straight-through selection with the experts' batch norm in evaluation mode.
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
  struct Options : TradesOptions {
    double alpha = 6, strays = 0;
    std::string router_target = "label_mod_n", expert_attack = "joint", router_attack = "joint";
    std::vector<std::vector<int64_t>> groups;
    PartChoice balancer;
    bool balanced_groups = false;
    void fields(OptionVisitor& v) override {
      TradesOptions::fields(v);
      v.real("alpha", alpha, "weight of the router's label loss", 0, 1e6);
      v.text("router_target", router_target,
             "what teaches the router: labels modulo E (published code), the task loss (paper) or groups of "
             "labels",
             {"label_mod_n", "bilevel", "groups"});
      v.integer_lists("groups", groups, "the labels of each expert: [[5, 7, 8, 9], [0, 1, 2, 3, 4, 6]]",
                      INT64_MIN, INT64_MAX);
      v.flag("balanced_groups", balanced_groups,
             "groups weigh the same in the router's loss, whatever their size");
      v.text("expert_attack", expert_attack,
             "what the experts' attack may use: router and pathway, or the pathway of the clean image alone",
             {"joint", "pathway"});
      v.text("router_attack", router_attack,
             "what the router's attack climbs: the network's answer and the scores, or the scores alone",
             {"joint", "scores"});
      v.real("strays", strays,
             "share of the images that meet another expert than their own in the expert step", 0, 1);
      v.part("balancer", balancer,
             "a balance loss of the bilevel router step: {part = \"switch_loss\", coefficient = 1}");
    }
  };

  AdvMoe(const Options& options, const Context& context)
      : options_(options), epsilon_(threat_of(context.task, "objectives/adv_moe").epsilon) {
    balancer_ = make_balancer(options.balancer);
    if (options.router_target == "groups") {
      groups_ = read_label_groups("objectives/adv_moe", options.groups);
    } else {
      GW_CHECK(options.groups.empty() && !options.balanced_groups,
               "objectives/adv_moe: expected router_target = \"groups\" with groups, got \"{}\"",
               options.router_target);
    }
    GW_CHECK(options.strays == 0 || options.expert_attack == "pathway",
             "objectives/adv_moe: expected expert_attack = \"pathway\" with strays, got \"joint\", whose "
             "attacked images find their own way");
    GW_CHECK(options.router_attack == "joint" || options.router_target != "bilevel",
             "objectives/adv_moe: expected router_attack = \"joint\" with router_target = \"bilevel\", whose "
             "loss is "
             "the network's answer, got \"scores\"");
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
    const auto& shape = c.network().shape();
    if (!groups_.empty()) check_label_groups("objectives/adv_moe", groups_, shape.classes, shape.experts);
    StepReport report;
    const auto scores = c.network().route(
        c.batch.at("image"),
        c.pass(c.rng.fork("router")));  // training mode, with its graph: the router step uses it too
    expert_step(c, scores, report);
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
    const auto& y = c.batch.at("label");
    const auto target = groups_.empty() ? y.remainder(c.network().shape().experts)
                                        : group_of_labels(groups_).index_select(0, y);
    at::Tensor weight;
    if (options_.balanced_groups) weight = group_weights(groups_).to(scores.scalar_type());
    const auto attacked = c.network().route(adversarial, c.pass(c.rng.fork("router")));
    const auto loss = options_.alpha * at::cross_entropy_loss(scores, target, weight) +
                      options_.beta * mean_kl(scores, attacked);
    note_flips(scores, attacked, report);
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
