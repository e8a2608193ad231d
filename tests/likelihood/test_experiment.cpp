// The runner of statistical experiments, and what every registered experiment must keep.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/experiment.h"

namespace {

using gw::Json;
using gw::Registry;
using namespace gw::likelihood;

// Values 8 / sqrt(x) with one outlier a size, a curve that does not move, a scalar.
class Known : public Experiment {
 public:
  const char* axis() const override { return "n"; }
  int64_t trials() const override { return 15; }
  TrialNames measures() const override { return {{"falls", "flat"}, {"odd"}}; }
  Trial trial(int64_t index) const override {
    const double x = std::pow(10.0, 1 + static_cast<double>(index / 5));
    if (index == fails) throw gw::ValueError("trial failed");
    const bool outlier = index % 5 == 3;
    return {{{x, {{"falls", outlier ? std::nan("") : 8 / std::sqrt(x)}, {"flat", 2}}}},
            {{"odd", static_cast<double>(index % 2)}}};
  }
  double work(int64_t index) const override { return static_cast<double>(index % 4); }
  int64_t fails = -1;
};

TEST(Experiment, MediansAndSlopesIgnoreOutliers) {
  const auto result = run_experiment(Known(), {});
  ASSERT_EQ(result.curves.size(), 2u);
  EXPECT_NEAR(result.metrics.at("slope.falls"), -0.5, 1e-12);
  EXPECT_NEAR(result.metrics.at("slope.flat"), 0, 1e-12);
  EXPECT_NEAR(result.metrics.at("first.falls"), 8 / std::sqrt(10.0), 1e-12);
  EXPECT_NEAR(result.metrics.at("shrink.falls"), 0.1, 1e-12);
  EXPECT_NEAR(result.metrics.at("share.odd"), 7.0 / 15, 1e-12);
  EXPECT_EQ(result.curves[0].x, (std::vector<double>{10, 100, 1000}));
}

TEST(Experiment, AFailedTrialIsInfiniteAndNotLeftOut) {
  EXPECT_EQ(quantile({std::nan(""), 1, 2}, 0.5), 2);
  EXPECT_TRUE(std::isinf(quantile({std::nan(""), std::nan(""), 2}, 0.5)));
  EXPECT_TRUE(std::isinf(quantile({1, std::nan("")}, 0.5)));
  EXPECT_EQ(quantile({3, 1}, 0.5), 2);
  EXPECT_THROW(quantile({}, 0.5), gw::ValueError);
}

TEST(Experiment, SlopesNeedPositiveFiniteValues) {
  EXPECT_NEAR(log_log_slope({1, 10, 100}, {5, 0.5, 0.05}), -1, 1e-12);
  EXPECT_TRUE(std::isnan(log_log_slope({1, 10}, {5, 0})));
  EXPECT_TRUE(std::isnan(log_log_slope({1, 10}, {5, INFINITY})));
  EXPECT_TRUE(std::isnan(log_log_slope({10}, {5})));
  EXPECT_TRUE(std::isnan(log_log_slope({10, 10}, {5, 4})));
}

TEST(Experiment, ErrorsOfTrialsReachTheCallerFromAnyThread) {
  Known known;
  known.fails = 7;
  for (const int threads : {1, 3}) {
    ExperimentRun run;
    run.threads = threads;
    EXPECT_THROW(run_experiment(known, run), gw::ValueError);
  }
}

TEST(Experiment, StopsWhenAskedAndSaysSo) {
  ExperimentRun run;
  int64_t seen = 0;
  run.progress = [&](int64_t done, int64_t total) {
    seen = done;
    EXPECT_EQ(total, 15);
  };
  run.stop = [&] { return seen >= 4; };
  EXPECT_THROW(run_experiment(Known(), run), gw::Interrupted);
  EXPECT_EQ(seen, 4);
}

// Conformance: defaults are a small experiment that runs; trials are pure; threads change nothing; seeds do.
class EveryExperiment : public ::testing::TestWithParam<gw::PartInfo> {};

TEST_P(EveryExperiment, DefaultsRunAndNeitherThreadsNorOrderChangeABit) {
  const auto make = [&](uint64_t seed) {
    return gw::make_part<Experiment>(GetParam().name, Json::object(), {seed});
  };
  ExperimentRun two;
  two.threads = 2;
  const auto a = run_experiment(*make(1), {}), b = run_experiment(*make(1), two),
             c = run_experiment(*make(2), {});
  ASSERT_FALSE(a.curves.empty());
  const auto names = metric_names(*make(1));
  for (const auto& item : a.metrics) {
    EXPECT_NE(std::find(names.begin(), names.end(), item.first), names.end())
        << item.first << " is measured and not declared: a mark that names it would be refused";
  }
  EXPECT_EQ(a.metrics.size(), b.metrics.size());
  for (const auto& [name, value] : a.metrics) {
    if (std::isnan(value)) continue;
    EXPECT_EQ(value, b.metrics.at(name)) << name;
  }
  EXPECT_NE(a.curves[0].median, c.curves[0].median);
  const auto part = make(1);
  const auto last = part->trials() - 1;
  const auto once = part->trial(last), again = part->trial(last);
  ASSERT_EQ(once.points.size(), again.points.size());
  for (size_t i = 0; i < once.points.size(); ++i) EXPECT_EQ(once.points[i].values, again.points[i].values);
}

TEST_P(EveryExperiment, RefusesAnUnknownOption) {
  EXPECT_THROW(gw::make_part<Experiment>(GetParam().name, {{"no_such_option", 1}}, {0}), gw::ValueError);
}

// The marks of recipes/coverage.toml, over fewer samples: intervals of 0.95 for new rows, and tests of slopes
// by robust errors where the family is wrong. A share over 400 samples has a deviation of 0.003 (of 40 rows
// each) and 0.011 (of one slope).
TEST(CoverageSlow, FromSixtyRowsOnIntervalsAndRobustErrorsHold) {
  const Json one = {
      {"gate_bias", {0}}, {"gate_slope", {0}}, {"intercept", {1}}, {"slope", {2}}, {"scale", {1}}};
  const auto run = [](Json options) {
    options["sizes"] = {60, 200}, options["replications"] = 400, options["new_rows"] = 40;
    ExperimentRun two;
    two.threads = 2;
    return run_experiment(*gw::make_part<Experiment>("coverage", options, {5}), two).metrics;
  };
  const auto line = run({{"truth", one}}), lines = run(Json::object()),
             laplace = run({{"truth", one}, {"family", "laplace"}});
  for (const char* rows : {"60", "200"}) {
    const auto share = [&](const auto& metrics, const char* name) {
      return metrics.at(std::string("share.") + name + "_" + rows);
    };
    for (const auto* metrics : {&line, &lines}) {
      EXPECT_GE(share(*metrics, "inside"), 0.93) << rows;
      EXPECT_LE(share(*metrics, "inside"), 0.97) << rows;
    }
    EXPECT_LE(share(line, "slope_miss"), 0.08) << rows;
    EXPECT_LE(share(laplace, "slope_miss_robust"), 0.08) << rows;
    EXPECT_GE(share(laplace, "slope_miss"), 0.15)
        << rows << ": the model's own errors are wrong here, or nothing is tested";
  }
}

INSTANTIATE_TEST_SUITE_P(Parts, EveryExperiment,
                         ::testing::ValuesIn(Registry::instance().list(Experiment::kKind)),
                         [](const auto& one) { return one.param.name; });

}  // namespace
