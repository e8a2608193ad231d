#include "train/task.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "base/error.h"
#include "data/loader.h"
#include "routing/load.h"

namespace gw {
namespace {

constexpr int64_t kBatch = 256;

/// Rows per expert of the first layer that decides, summed over batches.
class Load {
 public:
  void add(const Output& output) {
    if (output.plans.empty()) return;
    const auto& plan = output.plans.front().plan;
    rows_.resize(std::max(rows_.size(), static_cast<size_t>(plan.experts())), 0);
    for (int64_t e = 0; e < plan.experts(); ++e) rows_[static_cast<size_t>(e)] += plan.rows_of(e);
  }
  void report(Measured& out) const {
    if (rows_.size() < 2) return;
    RoutingPlan plan;
    plan.offsets = {0};
    for (const int64_t n : rows_) plan.offsets.push_back(plan.offsets.back() + n);
    out.metrics["load_entropy"] = load_entropy(plan);
    out.details["load"] = rows_;
  }

 private:
  std::vector<int64_t> rows_;
};

}  // namespace

void check_fields(const std::string& task, const Task& part, const TaskData& data) {
  for (const auto& field : part.fields()) {
    try {
      data.train.at(field), data.test.at(field);
    } catch (const ValueError& error) {
      fail("tasks/{}: {}", task, error.what());
    }
  }
}

RouteFrame framed(RouteFrame frame, const Batch& batch) {
  frame.index = batch.index;
  if (!batch.has("token")) frame.labels = batch.find("label");
  return frame;
}

Measured measure_set(const Task& task, const EvaluationPass& pass, int64_t size) {
  const at::NoGradGuard no_grad;
  pass.model.eval();
  const Loader loader(pass.set, size, {}, false, pass.rng);
  Measured out;
  Load load;
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto batch = loader.get(0, b);
    auto frame = framed(pass.frame, batch);
    frame.batch = b;
    pass.model.tap().begin(frame);
    const auto output = pass.model.answer(batch, {pass.rng.fork("batch", static_cast<uint64_t>(b)), pass.frame.step, RoutePurpose::kClean});
    pass.model.tap().end();
    load.add(output);
    for (const auto& [name, mean] : task.measure(output, batch)) out.metrics[name] += mean * static_cast<double>(batch.size());
    if (pass.tick) pass.tick(std::min((b + 1) * size, pass.set.size()), pass.set.size());
  }
  for (auto& item : out.metrics) item.second /= static_cast<double>(pass.set.size());
  task.finish(out.metrics);
  load.report(out);
  out.details["examples"] = pass.set.size();
  return out;
}

Measured Task::validate(const EvaluationPass& pass) const { return measure_set(*this, pass, kBatch); }

Measured Task::test(const EvaluationPass& pass) const { return measure_set(*this, pass, kBatch); }

double Task::score(const Measured& measured) const {
  const double value = measured.metrics.at(best_by());
  return more_is_better() ? value : -value;
}

}  // namespace gw
