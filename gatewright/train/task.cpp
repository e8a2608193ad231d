#include "gatewright/train/task.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/data/loader.h"
#include "gatewright/routing/load.h"

namespace gw::inline train {
namespace {

constexpr int64_t kBatch = 256;

/// Adds the rows per expert of the first layer that decides.
void add_load(const Output& output, std::vector<int64_t>& load) {
  if (output.plans.empty()) return;
  const auto rows = rows_per_expert(output.plans.front().plan);
  load.resize(rows.size(), 0);
  for (size_t e = 0; e < rows.size(); ++e) load[e] += rows[e];
}

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

void each_batch(const EvaluationPass& pass, int64_t size,
                const std::function<void(const Batch&, const Pass&)>& visit) {
  const at::NoGradGuard no_grad;
  pass.model.eval();
  const Loader loader(pass.set, size, {}, false, pass.rng);
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto batch = loader.get(0, b);
    auto frame = framed(pass.frame, batch);
    frame.batch = b;
    Pass one;
    one.rng = pass.rng.fork("batch", static_cast<uint64_t>(b)), one.step = pass.frame.step,
    one.tap = pass.tap;
    if (pass.tap != nullptr) pass.tap->begin(frame);
    visit(batch, one);
    if (pass.tap != nullptr) pass.tap->end();
    if (pass.tick) pass.tick(std::min((b + 1) * size, pass.set.size()), pass.set.size());
  }
}

void each_answer(const EvaluationPass& pass, int64_t size,
                 const std::function<void(const Batch&, const Output&)>& body) {
  each_batch(pass, size,
             [&](const Batch& batch, const Pass& one) { body(batch, pass.model.answer(batch, one)); });
}

namespace {

/// How many experts serve a token, over all layers that choose; by domain too, where examples have one.
class Served {
 public:
  void add(const Output& output, const Batch& batch) {
    const auto domain = batch.find("domain");
    for (const auto& [site, plan] : output.plans) {
      if (plan.soft() || plan.tokens == 0) continue;
      rows_ += static_cast<double>(plan.rows()), tokens_ += static_cast<double>(plan.tokens);
      const auto of_token = domain.defined() ? domain_of_tokens(plan, domain) : domain;
      if (!of_token.defined()) continue;
      count(rows_of_, of_token.index_select(0, plan.token)), count(tokens_of_, of_token);
    }
  }

  void finish(std::map<std::string, double>& metrics) const {
    if (tokens_ == 0) return;
    metrics["experts_per_token"] = rows_ / tokens_;
    double least = kInfinity, most = 0;
    for (size_t d = 0; d < tokens_of_.size(); ++d) {
      if (tokens_of_[d] == 0) continue;
      const double mean = (d < rows_of_.size() ? rows_of_[d] : 0) / tokens_of_[d];
      least = std::min(least, mean), most = std::max(most, mean);
    }
    if (tokens_of_.size() > 1) metrics["experts_per_token_spread"] = most - least;
  }

 private:
  /// Undefined where it is not known which example a token is of.
  static at::Tensor domain_of_tokens(const RoutingPlan& plan, const at::Tensor& domain) {
    const auto& text = plan.facts.sequence;
    const int64_t n = domain.size(0);
    // Texts of several lengths: one for each example, and known by their numbers.
    if (text.defined() && text.size(0) == plan.tokens && text.max().item<int64_t>() + 1 == n)
      return domain.index_select(0, text);
    return plan.tokens % n == 0 ? domain.repeat_interleave(plan.tokens / n) : at::Tensor();
  }

  static void count(std::vector<double>& of, const at::Tensor& domain) {
    const auto counts = at::bincount(domain).to(at::kDouble);
    of.resize(std::max(of.size(), static_cast<size_t>(counts.size(0))));
    for (int64_t d = 0; d < counts.size(0); ++d) of[static_cast<size_t>(d)] += counts[d].item<double>();
  }

  double rows_ = 0, tokens_ = 0;
  std::vector<double> rows_of_, tokens_of_;
};

}  // namespace

Measured measure_set(const Task& task, const EvaluationPass& pass, int64_t size) {
  Measured out;
  std::vector<int64_t> load;
  Served served;
  each_answer(pass, size, [&](const Batch& batch, const Output& output) {
    add_load(output, load);
    served.add(output, batch);
    const double loss = task.loss(output, batch).item<double>();
    for (const auto& [name, mean] : task.measure(output, batch, loss))
      out.metrics[name] += mean * static_cast<double>(batch.size());
  });
  for (auto& item : out.metrics) item.second /= static_cast<double>(pass.set.size());
  task.finish(out.metrics);
  if (load.size() > 1) out.metrics["load_entropy"] = load_entropy(load), out.details["load"] = load;
  served.finish(out.metrics);
  out.details["examples"] = pass.set.size();
  return out;
}

std::vector<std::string> Task::validated() const {
  auto names = measures();
  names.insert(names.end(), {"load_entropy", "experts_per_token", "experts_per_token_spread"});
  return names;
}

Measured Task::validate(const EvaluationPass& pass) const { return measure_set(*this, pass, kBatch); }

Measured Task::test(const EvaluationPass& pass) const { return measure_set(*this, pass, kBatch); }

double Task::score(const Measured& measured) const {
  const double value = measured.metrics.at(best_by());
  return more_is_better() ? value : -value;
}

}  // namespace gw::inline train
