#include "gatewright/likelihood/experiment.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>

#include "gatewright/base/check.h"

namespace gw::likelihood {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<int64_t> longest_first(const Experiment& experiment) {
  std::vector<int64_t> order(static_cast<size_t>(experiment.trials()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return experiment.work(a) > experiment.work(b); });
  return order;
}

/// Threads take trials from one queue; each result has its place, so the order of completion leaves no trace.
struct Queue {
  const Experiment& experiment;
  const ExperimentRun& run;
  std::vector<int64_t> order;
  std::vector<Trial> results;
  std::vector<std::exception_ptr> errors;
  std::atomic<size_t> next{0};
  std::atomic<bool> halted{false};
  std::mutex mutex;
  int64_t done = 0;

  void work() {
    for (size_t i = next++; i < order.size() && !halted; i = next++) {
      const auto index = static_cast<size_t>(order[i]);
      if (run.stop.requested()) {
        halted = true;
        return;
      }
      try {
        results[index] = experiment.trial(order[i]);
      } catch (...) {
        errors[index] = std::current_exception();
        halted = true;
      }
      const std::lock_guard lock(mutex);
      ++done;
      if (run.progress) run.progress(done, static_cast<int64_t>(order.size()));
    }
  }
};

std::vector<Trial> run_trials(const Experiment& experiment, const ExperimentRun& run) {
  Queue queue{experiment, run, longest_first(experiment), {}, {}, {}, {}, {}};
  queue.results.resize(queue.order.size());
  queue.errors.resize(queue.order.size());
  // The threads of all other loops, which run on their own thread inside of this one.
#pragma omp parallel num_threads(std::max(run.threads, 1)) if (run.threads > 1)
  queue.work();
  for (const auto& error : queue.errors)
    if (error) std::rethrow_exception(error);
  if (queue.halted) throw Interrupted("experiment: interrupted; nothing is kept of this arm");
  return std::move(queue.results);
}

RateCurve make_curve(const std::string& name, const std::map<double, std::vector<double>>& by_x,
                     double slope_from) {
  RateCurve curve{name, {}, {}, {}, {}, kNan};
  std::vector<double> x, y;
  for (const auto& [at, values] : by_x) {
    curve.x.push_back(at);
    curve.median.push_back(quantile(values, 0.5));
    curve.low.push_back(quantile(values, 0.25));
    curve.high.push_back(quantile(values, 0.75));
    if (at >= slope_from) x.push_back(at), y.push_back(curve.median.back());
  }
  curve.slope = log_log_slope(x, y);
  return curve;
}

void add_metrics(const RateCurve& curve, double from, std::map<std::string, double>& metrics) {
  auto& worst = metrics["worst." + curve.name];
  worst = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < curve.x.size(); ++i) {
    if (curve.x[i] >= from) worst = std::max(worst, curve.median[i]);
  }
  metrics["slope." + curve.name] = curve.slope;
  metrics["first." + curve.name] = curve.median.front();
  metrics["last." + curve.name] = curve.median.back();
  metrics["shrink." + curve.name] = curve.median.back() / curve.median.front();
  metrics["best." + curve.name] = *std::min_element(curve.median.begin(), curve.median.end());
}

}  // namespace

double log_log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  const double n = static_cast<double>(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] > 0 && y[i] > 0 && std::isfinite(x[i]) && std::isfinite(y[i]))) return kNan;
    mean_x += std::log(x[i]) / n;
    mean_y += std::log(y[i]) / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
    xy += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
  }
  return x.size() < 2 || xx == 0 ? kNan : xy / xx;
}

double quantile(std::vector<double> values, double q) {
  GW_CHECK(!values.empty(), "experiment: expected values for a quantile, got none");
  for (double& value : values)
    if (std::isnan(value)) value = std::numeric_limits<double>::infinity();
  std::sort(values.begin(), values.end());
  const double position = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position), above = std::min(below + 1, values.size() - 1);
  const double share = position - static_cast<double>(below);
  if (share == 0 || std::isinf(values[below])) return values[below];
  return values[below] + share * (values[above] - values[below]);
}

std::vector<std::string> metric_names(const Experiment& experiment) {
  const auto measured = experiment.measures();
  std::vector<std::string> names;
  for (const auto& curve : measured.curves) {
    for (const char* what : {"slope.", "first.", "last.", "shrink.", "best.", "worst."})
      names.push_back(what + curve);
  }
  for (const auto& scalar : measured.scalars) {
    for (const char* what : {"median.", "share."}) names.push_back(what + scalar);
  }
  return names;
}

ExperimentResult run_experiment(const Experiment& experiment, const ExperimentRun& run) {
  const auto trials = run_trials(experiment, run);
  ExperimentResult result{experiment.axis(), {}, {}};
  std::map<std::string, std::map<double, std::vector<double>>> by_name;
  std::map<std::string, std::vector<double>> scalars;
  for (const auto& trial : trials) {
    for (const auto& point : trial.points)
      for (const auto& [name, value] : point.values) by_name[name][point.x].push_back(value);
    for (const auto& [name, value] : trial.scalars) scalars[name].push_back(value);
  }
  for (const auto& [name, by_x] : by_name) {
    result.curves.push_back(make_curve(name, by_x, experiment.slope_from()));
    add_metrics(result.curves.back(), experiment.slope_from(), result.metrics);
  }
  for (const auto& [name, values] : scalars) {
    result.metrics["median." + name] = quantile(values, 0.5);
    result.metrics["share." + name] =
        std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  return result;
}

}  // namespace gw::likelihood
