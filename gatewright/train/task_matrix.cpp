#include "gatewright/train/task_matrix.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/data/loader.h"

namespace gw::inline train {

double TaskMatrix::accuracy(const TaskData& data, int64_t domain, const Rng& rng) const {
  constexpr int64_t kTogether = 500;
  const auto set = data.test.rows(data.test.at("domain").eq(domain).nonzero().view({-1}));
  GW_CHECK(set.size() > 0, "stream: expected test rows of every task, got none of task {}", domain);
  const Loader loader(set, kTogether, {}, false, rng);
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto batch = loader.get(0, b);
    const auto one = learner_.answer(batch, rng.fork("batch", static_cast<uint64_t>(b)));
    const auto measured =
        task_.measure(one.output, one.batch, task_.loss(one.output, one.batch).item<double>());
    const auto found = measured.find("accuracy");
    GW_CHECK(found != measured.end(),
             "stream: expected a task that measures accuracy for tasks = true, got another");
    sum += found->second * static_cast<double>(batch.size());
  }
  return sum / static_cast<double>(set.size());
}

void TaskMatrix::add(const TaskData& data, int64_t domain, const Rng& rng) {
  met_.push_back(domain);
  const auto at = static_cast<size_t>(domain);
  names_.push_back(at < data.domain_names.size() ? data.domain_names[at] : "task " + std::to_string(domain));
  std::vector<double> row;
  for (const int64_t task : met_)
    row.push_back(accuracy(data, task, rng.fork("task", static_cast<uint64_t>(task))));
  after_.push_back(std::move(row));
}

void TaskMatrix::leave(std::map<std::string, double>& metrics,
                       std::map<std::string, ValueTable>& tables) const {
  if (after_.empty()) return;
  const auto n = met_.size();
  const auto& last = after_.back();
  double final_sum = 0, learned = 0, lost = 0;
  ValueTable table{"after", names_, names_, {}};
  for (size_t t = 0; t < n; ++t) {
    final_sum += last[t], learned += after_[t][t];
    if (t + 1 < n) lost += after_[t][t] - last[t];
    auto row = after_[t];
    row.resize(n, std::numeric_limits<double>::quiet_NaN());
    table.values.push_back(std::move(row));
  }
  const auto count = static_cast<double>(n);
  metrics["final_accuracy"] = final_sum / count, metrics["learned_accuracy"] = learned / count;
  if (n > 1) metrics["forgetting"] = lost / (count - 1), metrics["first_forgotten"] = after_[0][0] - last[0];
  tables["forgetting"] = table;
}

}  // namespace gw::inline train
