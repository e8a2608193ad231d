#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/route_stats.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/watched_task.h"

namespace gw::inline train {
namespace {

/// The task's own loss, with the balance losses that the layers' plans bring: any model, any task. Where a
/// teacher is named, its loss stands in the task's place (gatewright/train/start.h).
/// `parts` > 1 accumulates gradients: the pieces' gradients are added by their shares of the examples, which
/// is the whole batch's where the loss is a mean over examples. Balance losses are those of each piece,
/// limits of rows and draws too; controllers see the pieces as one batch. Reports of the first layer that
/// decides, where a plan names rows: "max_load", the rows of its busiest expert over an even share, and
/// "without_expert", the share of tokens that no expert serves.
class Natural : public Objective {
 public:
  static constexpr const char* kSummary =
      "the task's loss on the data as they are, plus the layers' balance losses";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    int64_t parts = 1;
    void fields(OptionVisitor& v) override {
      v.integer(
          "parts", parts,
          "pieces of a batch that are answered one after the other before the step: memory of one piece", 1,
          1 << 20);
    }
  };

  Natural(const Options& options, const Context&) : parts_(options.parts) {}

  std::vector<std::string> reports(const Task& task) const override {
    auto names = task.measures();
    names.insert(names.end(), {"loss", "balance_loss", "max_load", "without_expert"});
    return names;
  }

  StepReport step(StepContext& c) override {
    std::vector<at::Tensor> gradients;
    StepReport report;
    const int64_t rows = c.batch.size(), parts = std::min(parts_, std::max<int64_t>(rows, 1));
    GW_CHECK(
        parts == 1 || c.tap == nullptr,
        "objectives/natural: expected parts = 1 where routes are recorded or replayed, got {}; a step has "
        "one decision of each layer there",
        parts_);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = rows * part / parts, last = rows * (part + 1) / parts;
      if (parts == 1) {
        report = piece(c, 1, gradients);
        continue;
      }
      const auto some = rows_between(c.batch, first, last);
      StepContext own{
          c.model, c.task, some,  c.experts, c.router,  c.lr, c.rng.fork("part", static_cast<uint64_t>(part)),
          c.first, c.done, c.tap, c.teacher, c.progress};
      const double share = static_cast<double>(last - first) / static_cast<double>(rows);
      join(report, piece(own, share, gradients), share);
    }
    c.experts.step(gradients, c.lr);
    return report;
  }

 private:
  static Batch rows_between(const Batch& batch, int64_t first, int64_t last) {
    Batch some = batch;
    for (auto& item : some.fields) item.second = item.second.slice(0, first, last);
    some.index = batch.index.slice(0, first, last);
    return some;
  }

  /// Adds `share` times the gradients of the context's batch.
  static StepReport piece(StepContext& c, double share, std::vector<at::Tensor>& gradients) {
    const auto [out, batch] = answer_for(c.task, c.model, c.batch, c.pass(c.rng), true);
    const auto task_loss = c.teacher != nullptr ? c.label_loss(out.answer) : c.task.loss(out, batch);
    const auto balance = balance_of(out.plans);
    const auto loss = balance.defined() ? task_loss + balance : task_loss;
    add(parameter_gradients(loss, c.experts.values(), "loss"), share, gradients);
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

  static void add(std::vector<at::Tensor> more, double share, std::vector<at::Tensor>& sum) {
    if (share != 1) {
      for (auto& gradient : more)
        if (gradient.defined()) gradient = gradient * share;
    }
    if (sum.empty()) {
      sum = std::move(more);
      return;
    }
    for (size_t i = 0; i < sum.size(); ++i)
      if (more[i].defined()) sum[i] = sum[i].defined() ? sum[i] + more[i] : more[i];
  }

  /// Means over the examples; what only some pieces report is a mean over all examples all the same.
  static void join(StepReport& sum, const StepReport& piece, double share) {
    for (const auto& [name, value] : piece.values) sum.values[name] += share * value;
    sum.load.resize(std::max(sum.load.size(), piece.load.size()));
    for (size_t e = 0; e < piece.load.size(); ++e) sum.load[e] += piece.load[e];
  }

  static void note_balance(const std::vector<SitedPlan>& plans, std::map<std::string, double>& values) {
    if (plans.empty() || plans.front().plan.soft() || plans.front().plan.tokens == 0) return;
    RouteStats stats;
    stats.add(plans.front().plan);
    values["max_load"] = stats.max_over_mean();
    values["without_expert"] = static_cast<double>(stats.dropped) / static_cast<double>(stats.tokens);
  }

  int64_t parts_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::Natural);
