#include "gatewright/report/arm_standing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/train/robust/evaluate.h"

namespace gw::inline report {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? kNan : sum / static_cast<double>(values.size());
}

void add_finite(std::vector<double>& values, double value) {
  if (std::isfinite(value)) values.push_back(value);
}

/// Ratios to the dense network, means over the arm's runs.
void add_price(ArmStanding& arm, const std::vector<const Evaluation*>& runs) {
  std::vector<double> macs;
  std::map<int64_t, std::vector<double>> times;
  for (const Evaluation* e : runs) {
    const double router = std::isfinite(e->router_macs) ? e->router_macs : 0;
    add_finite(macs, (e->backbone_macs + router) / e->dense_macs);
    for (const auto& [batch, timing] : e->timing)
      add_finite(times[batch], timing.ms_per_image / timing.dense_ms_per_image);
    arm.routed = arm.routed || router > 0 ||
                 e->affinity_clean.size() > 1;  // a linear gate has no counted multiply-adds
  }
  arm.macs_ratio = mean(macs);
  for (const auto& [batch, ratios] : times)
    if (!ratios.empty()) arm.time_ratio[batch] = mean(ratios);
}

ArmStanding standing_of(const ReportData& data, const std::string& arm, bool attacked) {
  ArmStanding standing;
  standing.title = data.title_of(arm), standing.colour = data.arm_index(arm);
  std::vector<double> accuracies;
  std::vector<const Evaluation*> runs;
  for (const RunData& run : data.runs) {
    if (run.arm != arm || !run.evaluation) continue;
    runs.push_back(&*run.evaluation);
    add_finite(accuracies, attacked ? worst_case(*run.evaluation) : run.evaluation->clean_accuracy);
    standing.images = run.evaluation->images;
  }
  standing.seeds = static_cast<int64_t>(accuracies.size());
  standing.accuracy = standing.low = standing.high = mean(accuracies);
  if (accuracies.size() > 1) {
    standing.low = *std::min_element(accuracies.begin(), accuracies.end());
    standing.high = *std::max_element(accuracies.begin(), accuracies.end());
  } else if (accuracies.size() == 1 && standing.images > 0) {
    const Interval interval = wilson_interval(standing.accuracy, standing.images);
    standing.low = interval.low, standing.high = interval.high;
  }
  add_price(standing, runs);
  return standing;
}

}  // namespace

double worst_case(const Evaluation& evaluation) {
  const auto recorded = evaluation.robust_accuracy.find(kWorstCase);
  if (recorded != evaluation.robust_accuracy.end()) return recorded->second;
  double least = kNan;
  for (const auto& item : evaluation.robust_accuracy) least = std::fmin(least, item.second);
  return least;
}

Interval wilson_interval(double share, int64_t n) {
  constexpr double z = 1.959963984540054;
  const double count = static_cast<double>(n), centre = (share + z * z / (2 * count)) / (1 + z * z / count);
  const double half =
      z / (1 + z * z / count) * std::sqrt(share * (1 - share) / count + z * z / (4 * count * count));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

std::string time_words(const ArmStanding& arm) {
  std::string text;
  for (const auto& [batch, ratio] : arm.time_ratio) {
    const char* pace = ratio > 1.005 ? "slower" : ratio < 0.995 ? "faster" : "equal";
    text +=
        fmt::format("{}{:.2f} times its time at batch {} ({})", text.empty() ? "" : ", ", ratio, batch, pace);
  }
  return text;
}

std::vector<ArmStanding> standings(const ReportData& data) {
  const bool attacked = std::any_of(data.runs.begin(), data.runs.end(), [](const RunData& run) {
    return run.evaluation && std::isfinite(worst_case(*run.evaluation));
  });
  std::vector<ArmStanding> arms;
  for (const std::string& arm : data.arms) {
    ArmStanding standing = standing_of(data, arm, attacked);
    if (standing.seeds > 0) arms.push_back(std::move(standing));
  }
  std::stable_sort(arms.begin(), arms.end(),
                   [](const auto& a, const auto& b) { return a.accuracy > b.accuracy; });
  return arms;
}

}  // namespace gw::inline report
