#include "gatewright/train/check.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace gw::inline train {
namespace {

std::optional<double> value_of(const std::vector<ArmResult>& results, const std::string& arm, int64_t seed,
                               const std::string& metric) {
  for (const auto& result : results) {
    if (result.arm != arm || result.seed != seed) continue;
    const auto it = result.metrics.find(metric);
    if (it != result.metrics.end()) return it->second;
  }
  return std::nullopt;
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

std::vector<double> per_seed(const Mark& mark, const std::vector<ArmResult>& results) {
  std::vector<double> values;
  for (const auto& result : results) {
    if (result.arm != mark.arm) continue;
    auto value = value_of(results, mark.arm, result.seed, mark.metric);
    if (!mark.minus_metric.empty()) {
      const auto other = value_of(results, mark.arm, result.seed, mark.minus_metric);
      if (value && other)
        *value -= *other;
      else
        value.reset();
    }
    if (!mark.minus.empty()) {
      const auto other = value_of(results, mark.minus, result.seed, mark.metric);
      if (value && other)
        *value -= *other;
      else
        value.reset();
    }
    if (!mark.divided_by.empty()) {
      const auto other = value_of(results, mark.divided_by, result.seed, mark.metric);
      if (value && other && *other != 0)
        *value /= *other;
      else
        value.reset();
    }
    if (value) values.push_back(*value * mark.scale);
  }
  return values;
}

std::vector<MarkResult> measure(const Recipe& recipe, const std::string& size,
                                const std::vector<ArmResult>& results, bool applying) {
  std::vector<MarkResult> out;
  for (const auto& mark : recipe.marks) {
    const bool applies =
        mark.sizes.empty() || std::find(mark.sizes.begin(), mark.sizes.end(), size) != mark.sizes.end();
    if (applies != applying) continue;
    const auto s = summarise(per_seed(mark, results));
    const bool holds =
        s.count > 0 && std::isfinite(s.mean) && s.mean >= mark.at_least && s.mean <= mark.at_most;
    out.push_back({mark, s.mean, s.low, s.high, s.count, holds});
  }
  return out;
}

}  // namespace

std::vector<MarkResult> judge(const Recipe& recipe, const std::string& size,
                              const std::vector<ArmResult>& results) {
  return measure(recipe, size, results, true);
}

std::vector<MarkResult> measure_unjudged(const Recipe& recipe, const std::string& size,
                                         const std::vector<ArmResult>& results) {
  return measure(recipe, size, results, false);
}

Spread spread(const std::vector<ArmResult>& results, const std::string& arm, const std::string& metric) {
  std::vector<double> values;
  for (const auto& result : results) {
    const auto it = result.metrics.find(metric);
    if (result.arm == arm && it != result.metrics.end()) values.push_back(it->second);
  }
  return summarise(values);
}

}  // namespace gw::inline train
