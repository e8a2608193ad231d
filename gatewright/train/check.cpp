#include "gatewright/train/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "gatewright/train/interval.h"

namespace gw::inline train {
namespace {

using Results = std::vector<ArmResult>;

const ArmResult* run_of(const Results& results, const std::string& arm, int64_t seed) {
  for (const auto& result : results) {
    if (result.arm == arm && result.seed == seed) return &result;
  }
  return nullptr;
}

std::optional<double> metric_of(const ArmResult& run, const std::string& metric) {
  const auto it = run.metrics.find(metric);
  return it == run.metrics.end() ? std::nullopt : std::optional(it->second);
}

/// The metric of a mark, or what it takes from its curve; nothing where the run has not measured it.
std::optional<double> value_of(const Results& results, const Mark& mark, const std::string& arm,
                               int64_t seed) {
  const auto* run = run_of(results, arm, seed);
  if (run == nullptr) return std::nullopt;
  if (mark.curve.empty()) return metric_of(*run, mark.metric);
  const auto curve = run->curves.find(mark.curve);
  if (curve == run->curves.end()) return std::nullopt;
  if (mark.measure == "crossing") return crossing_of(curve->second, mark.level);
  return mark.measure == "slope" ? slope_of(curve->second) : area_of(curve->second);
}

Spread summarise(const std::vector<double>& values) {
  Spread s;
  s.count = values.size();
  if (values.empty()) return s;
  for (const double v : values) s.mean += v / static_cast<double>(values.size());
  s.low = *std::min_element(values.begin(), values.end());
  s.high = *std::max_element(values.begin(), values.end());
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  s.deviation = values.size() > 1 ? std::sqrt(squares / static_cast<double>(values.size() - 1)) : 0;
  return s;
}

std::optional<double> minus(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b ? std::optional(*a - *b) : std::nullopt;
}

std::optional<double> over(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b && *b != 0 ? std::optional(*a / *b) : std::nullopt;
}

std::vector<double> per_seed(const Mark& mark, const Results& results) {
  std::vector<double> values;
  for (const auto& result : results) {
    if (result.arm != mark.arm) continue;
    auto value = value_of(results, mark, mark.arm, result.seed);
    if (!mark.minus_metric.empty()) value = minus(value, metric_of(result, mark.minus_metric));
    if (!mark.minus.empty()) value = minus(value, value_of(results, mark, mark.minus, result.seed));
    if (!mark.divided_by.empty()) value = over(value, value_of(results, mark, mark.divided_by, result.seed));
    if (value) values.push_back(*value * mark.scale);
  }
  return values;
}

MarkResult judge_bound(const Mark& mark, const Results& results) {
  const auto s = summarise(per_seed(mark, results));
  const bool holds =
      s.count > 0 && std::isfinite(s.mean) && s.mean >= mark.at_least && s.mean <= mark.at_most;
  return {mark, s.mean, s.low, s.high, s.count, holds};
}

/// One row of values for each seed that all arms of the order have.
std::vector<std::vector<double>> rows_of_order(const Mark& mark, const Results& results) {
  std::vector<std::vector<double>> rows;
  for (const auto& result : results) {
    if (result.arm != mark.order.front()) continue;
    std::vector<double> row;
    for (const auto& arm : mark.order) {
      if (const auto value = value_of(results, mark, arm, result.seed)) row.push_back(*value * mark.scale);
    }
    if (row.size() == mark.order.size()) rows.push_back(std::move(row));
  }
  return rows;
}

double least_step(const std::vector<double>& row) {
  double least = kInfinity;
  for (size_t i = 1; i < row.size(); ++i)
    least = std::isnan(row[i] - row[i - 1]) ? row[i] - row[i - 1] : std::min(least, row[i] - row[i - 1]);
  return least;
}

MarkResult judge_order(const Mark& mark, const Results& results) {
  const auto rows = rows_of_order(mark, results);
  MarkResult out{mark};
  if (rows.empty()) return out;
  std::vector<double> means(mark.order.size(), 0), steps;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) means[i] += row[i] / static_cast<double>(rows.size());
    steps.push_back(least_step(row));
  }
  const auto s = summarise(steps);
  out.measured = least_step(means), out.low = s.low, out.high = s.high, out.seeds = rows.size();
  out.holds = std::isfinite(out.measured) && out.measured > 0 && out.measured >= mark.at_least;
  for (size_t i = 0; i < means.size(); ++i)
    out.detail += fmt::format("{}{} {:.3g}", i == 0 ? "" : ", ", mark.order[i], means[i]);
  return out;
}

MarkResult judge_not_worse(const Mark& mark, const Results& results) {
  const auto differences = per_seed(mark, results);
  const auto s = summarise(differences);
  MarkResult out{mark, s.mean, s.low, s.high, s.count};
  if (s.count == 0) return out;
  const bool by_t = mark.interval == "t";
  const size_t needed = by_t ? kLeastForT : kLeastForBootstrap;
  if (s.count < needed) {
    out.unjudged = fmt::format("{} seed{}; {} needs {}", s.count, s.count == 1 ? "" : "s",
                               by_t ? "a t interval" : "a bootstrap interval", needed);
    return out;
  }
  const auto finite = [](double value) { return std::isfinite(value); };
  if (!std::all_of(differences.begin(), differences.end(), finite)) return out;  // does not hold
  auto gains = differences;
  if (mark.better == "less")
    for (auto& gain : gains) gain = -gain;
  const double least = by_t ? lower_by_t(gains, mark.confidence) : lower_by_bootstrap(gains, mark.confidence);
  out.holds = least >= -mark.not_worse_by;
  out.detail = fmt::format("{} by {:.3g} or {}, {:g} % sure", least < 0 ? "worse" : "better", std::abs(least),
                           least < 0 ? "less" : "more", 100 * mark.confidence);
  return out;
}

std::vector<MarkResult> measure(const Recipe& recipe, const std::string& size, const Results& results,
                                bool applying) {
  std::vector<MarkResult> out;
  for (const auto& mark : recipe.marks) {
    if (mark.applies(size) != applying) continue;
    const auto kind = mark.kind();
    out.push_back(kind == Mark::Kind::kOrder      ? judge_order(mark, results)
                  : kind == Mark::Kind::kNotWorse ? judge_not_worse(mark, results)
                                                  : judge_bound(mark, results));
  }
  return out;
}

}  // namespace

std::vector<MarkResult> judge(const Recipe& recipe, const std::string& size, const Results& results) {
  return measure(recipe, size, results, true);
}

std::vector<MarkResult> measure_unjudged(const Recipe& recipe, const std::string& size,
                                         const Results& results) {
  return measure(recipe, size, results, false);
}

Spread spread(const Results& results, const std::string& arm, const std::string& metric) {
  std::vector<double> values;
  for (const auto& result : results) {
    const auto it = result.metrics.find(metric);
    if (result.arm == arm && it != result.metrics.end()) values.push_back(it->second);
  }
  return summarise(values);
}

}  // namespace gw::inline train
