#include "gatewright/train/deferral_trials.h"

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

/// Positions for the grid of thresholds, for the calibration and for the test.
struct DeferralSplit {
  std::vector<int64_t> grid, held_out, test;
};

DeferralSplit deferral_split(const DeferralTrials& trials, const Rng& rng) {
  const auto rows = static_cast<int64_t>(trials.examples.sure.size());
  const auto order = rng.permutation(rows);
  const auto grid = std::max<int64_t>(rows / 10, 1);
  const auto held = std::max<int64_t>(static_cast<int64_t>(trials.held_out * static_cast<double>(rows)), 1);
  GW_CHECK(grid + held < rows,
           "deferral: expected examples beside a tenth for the thresholds and {} for the calibration, got {} "
           "in all",
           held, rows);
  return {{order.begin(), order.begin() + grid},
          {order.begin() + grid, order.begin() + grid + held},
          {order.begin() + grid + held, order.end()}};
}

Calibration taken(const Calibration& from, const std::vector<int64_t>& at) {
  Calibration out;
  for (const int64_t i : at) {
    out.sure.push_back(from.sure[static_cast<size_t>(i)]);
    out.wrong.push_back(from.wrong[static_cast<size_t>(i)]);
  }
  return out;
}

/// Counts of one split's test.
struct Counted {
  double all = 0, kept = 0, wrong = 0, by_expert = 0;
};

Counted count(const DeferralTrials& trials, const std::vector<int64_t>& test, double threshold) {
  Counted out;
  for (const int64_t i : test) {
    const auto at = static_cast<size_t>(i);
    const bool keep = trials.examples.sure[at] >= threshold;
    ++out.all, out.kept += keep ? 1 : 0;
    out.wrong += keep && trials.examples.wrong[at] ? 1 : 0;
    out.by_expert += !keep && trials.expert_right[at] ? 1 : 0;
  }
  return out;
}

}  // namespace

std::map<std::string, double> measure_deferral(const DeferralTrials& trials, const Rng& rng) {
  const auto& wrong = trials.examples.wrong;
  GW_CHECK(
      trials.trials >= 1 && trials.expert_right.size() == wrong.size(),
      "deferral: expected at least 1 trial and an expert's answer for each of {} examples, got {} and {}",
      wrong.size(), trials.trials, trials.expert_right.size());
  const auto errors = static_cast<double>(std::count(wrong.begin(), wrong.end(), true));
  std::map<std::string, double> sums{
      {"broken", 0}, {"silent", 0}, {"coverage", 0}, {"joint_accuracy", 0}, {"let_through", 0}};
  double kept_error = 0, handed = 0, handed_right = 0;
  for (int64_t trial = 0; trial < trials.trials; ++trial) {
    const auto parts = deferral_split(trials, rng.fork("split", static_cast<uint64_t>(trial)));
    const auto grid = deferral_grid(taken(trials.examples, parts.grid).sure, trials.thresholds);
    const auto rule = calibrate_deferral(taken(trials.examples, parts.held_out), grid, trials.bound);
    const auto c = count(trials, parts.test, rule.threshold);
    const double error = c.kept > 0 ? c.wrong / c.kept : 0;
    sums["broken"] += error > trials.bound.bound ? 1 : 0, sums["silent"] += c.kept == 0 ? 1 : 0;
    sums["coverage"] += c.kept / c.all, sums["let_through"] += c.wrong / c.all;
    sums["joint_accuracy"] += (c.kept - c.wrong + c.by_expert) / c.all;
    kept_error += error, handed += c.all - c.kept, handed_right += c.by_expert;
  }
  const auto n = static_cast<double>(trials.trials), speaking = n - sums["silent"];
  for (auto& item : sums) item.second /= n;
  sums["model_accuracy"] = 1 - errors / static_cast<double>(wrong.size()), sums["bound"] = trials.bound.bound;
  if (speaking > 0) sums["kept_error"] = kept_error / speaking;
  if (handed > 0) sums["expert_accuracy"] = handed_right / handed;
  return sums;
}

}  // namespace gw::inline train
