// The level that a monitor states is the level that it has, and a change is found.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gatewright/base/rng.h"
#include "gatewright/train/deferral.h"
#include "gatewright/train/drift_monitor.h"
#include "gatewright/train/shadow_trial.h"
#include "tests/support/refusal.h"

namespace gw::test::drift_monitor_cases {

DriftOptions options(double level, bool two_sided = false) {
  DriftOptions o;
  o.level = level, o.reference = 10, o.horizon = 50, o.two_sided = two_sided;
  return o;
}

/// The error of a window of `rows` examples, each wrong with the chance p.
double window_error(const Rng& rng, int64_t rows, double p) {
  int64_t wrong = 0;
  for (int64_t i = 0; i < rows; ++i) wrong += rng.uniform(static_cast<uint64_t>(i)) < p ? 1 : 0;
  return static_cast<double>(wrong) / static_cast<double>(rows);
}

/// In how many of `streams` stationary streams the monitor alarms within its horizon.
int64_t false_alarms(const DriftMonitor& monitor, int64_t streams, double p) {
  int64_t alarmed = 0;
  for (int64_t s = 0; s < streams; ++s) {
    auto own = monitor;
    bool any = false;
    for (int64_t w = 0; w < 60 && !any; ++w)
      any = own.add(window_error(
          Rng(11).fork("stream", static_cast<uint64_t>(s)).fork("window", static_cast<uint64_t>(w)), 200, p));
    alarmed += any ? 1 : 0;
  }
  return alarmed;
}

TEST(DriftMonitor, FalseAlarmsStayWithinTheBinomialIntervalOfTheLevel) {
  constexpr int64_t kStreams = 1000;
  for (const double level : {0.05, 0.2}) {
    for (const bool two_sided : {false, true}) {
      const DriftMonitor monitor(options(level, two_sided));
      for (const double p : {0.1, 0.4}) {
        const auto alarms = false_alarms(monitor, kStreams, p);
        // Beyond both one-sided limits of 99.9 %: a monitor of this level would be there once in 500.
        ASSERT_GT(alarms, 0);
        EXPECT_GT(1 - binomial_below(alarms - 1, kStreams, level), 0.001)
            << alarms << " of " << kStreams << " at " << level << ", error " << p;
        EXPECT_GT(binomial_below(alarms, kStreams, level), 0.001)
            << alarms << " of " << kStreams << " at " << level << ", error " << p;
      }
    }
  }
}

TEST(DriftMonitor, FindsAChangeAndForgetsItAfterAReset) {
  DriftMonitor monitor(options(0.05));
  for (int64_t w = 0; w < 20; ++w) EXPECT_FALSE(monitor.add(0.1 + 0.01 * (w % 2)));
  EXPECT_NEAR(monitor.usual(), 0.105, 1e-12);
  int64_t delay = 1;
  while (!monitor.add(0.3)) ++delay;
  EXPECT_LE(delay, 2);
  monitor.reset();
  EXPECT_TRUE(std::isnan(monitor.usual()));
  for (int64_t w = 0; w < 30; ++w) EXPECT_FALSE(monitor.add(0.3 + 0.01 * (w % 2))) << "0.3 is usual now";
  DriftMonitor lower(options(0.05));
  for (int64_t w = 0; w < 12; ++w) lower.add(0.3 + 0.01 * (w % 2));
  for (int64_t w = 0; w < 10; ++w) EXPECT_FALSE(lower.add(0.1)) << "better is no alarm, unless two-sided";
  expect_part(refusal<ValueError>([&] { monitor.add(std::numeric_limits<double>::infinity()); }), "finite");
}

TEST(DriftMonitor, ALowerLevelHasAHigherThreshold) {
  EXPECT_GT(DriftMonitor(options(0.01)).threshold(), DriftMonitor(options(0.1)).threshold());
  EXPECT_GT(DriftMonitor(options(0.05, true)).threshold(), DriftMonitor(options(0.05)).threshold());
}

TEST(ShadowTrial, PromotesWhoIsBetterByMoreThanLuck) {
  ShadowTrial trial({4, 7, 9}, 5, 0.02, 0.95);
  for (int64_t w = 0; w < 5; ++w) {
    EXPECT_EQ(trial.winner(), -1) << "not before its end";
    const double luck = 0.01 * static_cast<double>(w % 2);
    trial.add(0.5 + luck, {0.51 + luck, 0.8 - luck, 0.7 + luck});
  }
  EXPECT_EQ(trial.winner(), 1);
  EXPECT_EQ(trial.winner({false, true, false}), 2) << "the next one, where the best is taken";
  EXPECT_EQ(trial.winner({false, true, true}), -1) << "ahead by less than the margin";
  ShadowTrial noisy({1}, 4, 0.02, 0.95);
  for (const double one : {0.9, 0.1, 0.9, 0.4}) noisy.add(0.5, {one});
  EXPECT_EQ(noisy.winner(), -1) << "ahead in the mean, but not by the test";
  expect_part(refusal<ValueError>([&] { noisy.add(0.5, {0.1, 0.2}); }), "rewards of 1 candidates");
}

/// A candidate that is as good as the incumbent is promoted no more often than 1 − confidence.
TEST(ShadowTrial, EqualCandidatesArePromotedRarely) {
  int64_t promoted = 0;
  constexpr int64_t kTrials = 400;
  for (int64_t t = 0; t < kTrials; ++t) {
    ShadowTrial trial({0, 1, 2}, 6, 0.0, 0.9);
    for (int64_t w = 0; w < 6; ++w) {
      const auto rng =
          Rng(3).fork("trial", static_cast<uint64_t>(t)).fork("window", static_cast<uint64_t>(w));
      trial.add(window_error(rng.fork("i"), 100, 0.5),
                {window_error(rng.fork("a"), 100, 0.5), window_error(rng.fork("b"), 100, 0.5),
                 window_error(rng.fork("c"), 100, 0.5)});
    }
    promoted += trial.winner() >= 0 ? 1 : 0;
  }
  EXPECT_GT(1 - binomial_below(promoted - 1, kTrials, 0.1), 0.001) << promoted;
}

}  // namespace gw::test::drift_monitor_cases
