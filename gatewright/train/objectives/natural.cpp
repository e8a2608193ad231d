#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/watched_task.h"

namespace gw::inline train {
namespace {

/// The task's own loss, with the balance losses that the layers' plans bring: any model, any task. Where a
/// teacher is named, its loss stands in the task's place (gatewright/train/start.h).
class Natural : public Objective {
 public:
  static constexpr const char* kSummary =
      "the task's loss on the data as they are, plus the layers' balance losses";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  Natural(const Options&, const Context&) {}

  std::vector<std::string> reports(const Task& task) const override {
    auto names = task.measures();
    names.insert(names.end(), {"loss", "balance_loss"});
    return names;
  }

  StepReport step(StepContext& c) override {
    const auto [out, batch] = answer_for(c.task, c.model, c.batch, c.pass(c.rng), true);
    const auto task_loss = c.task.loss(out, batch);
    const auto balance = balance_of(out.plans);
    const auto loss = balance.defined() ? task_loss + balance : task_loss;
    c.experts.step(parameter_gradients(loss, c.experts.values(), "loss"), c.lr);
    StepReport report;
    report.values = c.task.measure(out, batch, task_loss.item<double>());
    c.task.finish(report.values);
    report.values["loss"] = loss.item<double>();
    if (balance.defined()) report.values["balance_loss"] = balance.item<double>();
    report.load = first_load(out.plans);
    return report;
  }
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::Natural);
