#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/route_stats.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/watched_task.h"

namespace gw::inline train {
namespace {

/// The task's own loss, with the balance losses that the layers' plans bring: any model, any task. Where a
/// teacher is named, its loss stands in the task's place (gatewright/train/start.h).
/// Reports of the first layer that decides, where a plan names rows: "max_load", the rows of its busiest
/// expert over an even share, and "without_expert", the share of tokens that no expert serves.
class Natural : public Objective {
 public:
  static constexpr const char* kSummary =
      "the task's loss on the data as they are, plus the layers' balance losses";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  Natural(const Options&, const Context&) {}

  std::vector<std::string> reports(const Task& task) const override {
    auto names = task.measures();
    names.insert(names.end(), {"loss", "balance_loss", "max_load", "without_expert"});
    return names;
  }

  StepReport step(StepContext& c) override {
    const auto [out, batch] = answer_for(c.task, c.model, c.batch, c.pass(c.rng), true);
    const auto task_loss = c.teacher != nullptr ? c.label_loss(out.answer) : c.task.loss(out, batch);
    const auto balance = balance_of(out.plans);
    const auto loss = balance.defined() ? task_loss + balance : task_loss;
    c.experts.step(parameter_gradients(loss, c.experts.values(), "loss"), c.lr);
    StepReport report;
    const auto own_loss = c.teacher != nullptr ? c.task.loss(out, batch) : task_loss;
    report.values = c.task.measure(out, batch, own_loss.item<double>());
    c.task.finish(report.values);
    report.values["loss"] = loss.item<double>();
    if (balance.defined()) report.values["balance_loss"] = balance.item<double>();
    report.load = first_load(out.plans);
    note_balance(out.plans, report.values);
    return report;
  }

 private:
  static void note_balance(const std::vector<SitedPlan>& plans, std::map<std::string, double>& values) {
    if (plans.empty() || plans.front().plan.soft() || plans.front().plan.tokens == 0) return;
    RouteStats stats;
    stats.add(plans.front().plan);
    values["max_load"] = stats.max_over_mean();
    values["without_expert"] = static_cast<double>(stats.dropped) / static_cast<double>(stats.tokens);
  }
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::Natural);
