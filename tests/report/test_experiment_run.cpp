// Statistical recipes from end to end: run, judge, go on, report; and what is refused before anything runs.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "gatewright/base/error.h"
#include "gatewright/report/report.h"
#include "gatewright/runs/check_run.h"
#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"
#include "tests/runs/checked.h"

using namespace gw;
using namespace gw::test;

namespace gw::test::experiment_run_cases {

constexpr const char* kBody = R"(
title = "rates"
[defaults.experiment]
part = "near_truth"
sizes = [200, 800]
replications = 3
[sizes.tiny]
seeds = [0]
[arms.exact]
[arms.over.config.experiment]
fit = { experts = 3 }
loss = "softmax_gaussian"
[[marks]]
name = "hellinger falls"
metric = "shrink.hellinger"
arm = "exact"
at_most = 0.9
[[marks]]
name = "hellinger rises"
metric = "shrink.hellinger"
arm = "exact"
at_least = 1.1
[[marks]]
name = "a value that this gate has not"
metric = "slope.temperature"
arm = "over"
at_least = -10.0
)";

CheckOutcome check_in(const Scratch& scratch, const Recipe& recipe) {
  const ArmRun run{(scratch / "out"), false, nullptr, nullptr, [] { return 0.0; }, [] { return 0.0; }};
  return run_check(recipe, {"tiny", {}, {}, {}, "command", "machine", "2026-01-01"}, run);
}

TEST(ExperimentRun, ChecksJudgesReportsAndIsNotRunTwice) {
  const Scratch scratch;
  const auto recipe = recipe_of(scratch, kBody);
  const auto outcome = check_in(scratch, recipe);
  ASSERT_EQ(outcome.marks.size(), 3u);
  EXPECT_TRUE(outcome.marks[0].holds);
  EXPECT_FALSE(outcome.marks[1].holds);
  EXPECT_FALSE(outcome.marks[2].holds);  // not measured
  EXPECT_FALSE(outcome.holds());
  const auto rates = parse_rates(read_json((scratch / "out/over-seed0/rates.json")), "rates");
  EXPECT_EQ(rates.axis, "n");
  ASSERT_FALSE(rates.curves.empty());
  EXPECT_EQ(rates.curves[0].x, (std::vector<double>{200, 800}));
  const auto html = render_report({(scratch / "out")});
  EXPECT_NE(html.find("id=\"rates\""), std::string::npos);
  EXPECT_NE(render_report({scratch / "out/over-seed0"}).find("<code>command</code>"),
            std::string::npos);  // one run alone says where it comes from
  EXPECT_NE(html.find("multiple.slope"), std::string::npos);
  EXPECT_NE(html.find("logarithmic"), std::string::npos);
  // A finished arm is read: were it run again, the altered metric would be gone.
  auto metrics = read_json((scratch / "out/exact-seed0/metrics.json"));
  metrics["metrics"]["shrink.hellinger"] = 7.0;
  write_file(scratch / "out/exact-seed0/metrics.json", dump_json(metrics));
  EXPECT_EQ(check_in(scratch, recipe).marks[0].measured, 7.0);
}

TEST(ExperimentRun, RefusesBadArmsBeforeAnyRuns) {
  for (const char* wrong :
       {"[arms.wrong.config.experiment]\nreplicatoins = 3\n",
        "[arms.wrong.config.experiment]\npart = \"near_thruth\"\n", "[arms.wrong.config]\nepochs = 3\n",
        "[arms.wrong.config.experiment]\nfit = { experts = 1 }\n"}) {
    const Scratch scratch;
    const auto recipe = recipe_of(scratch, std::string(kBody) + wrong);
    EXPECT_THROW(check_in(scratch, recipe), ValueError) << wrong;
    EXPECT_FALSE(std::filesystem::exists((scratch / "out"))) << wrong;
  }
}

TEST(ExperimentRun, MarksOfNamesThatNoTrialMeasuresAreRefused) {
  const Scratch scratch;
  for (const char* wrong : {"metric = \"slope.helinger\"", "curve = \"helinger\""}) {
    const auto recipe =
        recipe_of(scratch, std::string(kBody) + "[[marks]]\narm = \"over\"\nat_least = 0.0\n" + wrong);
    try {
      check_in(scratch, recipe);
      FAIL() << wrong;
    } catch (const ValueError& error) {
      EXPECT_NE(std::string(error.what()).find("did you mean"), std::string::npos) << error.what();
    }
    EXPECT_FALSE(std::filesystem::exists(scratch / "out"));
  }
}

TEST(ExperimentRun, MarksOnItsCurves) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, recipe_of(scratch, std::string(kBody) + R"(
[[marks]]
curve = "hellinger"
measure = "slope"
arm = "exact"
at_most = 0.0
[[marks]]
curve = "hellinger"
measure = "slope"
arm = "exact"
at_least = 0.0
)"));
  ASSERT_EQ(outcome.marks.size(), 5u);
  EXPECT_TRUE(outcome.marks[3].holds);
  EXPECT_FALSE(outcome.marks[4].holds);
}

TEST(ExperimentRun, ReportRefusesCurvesOfUnequalLength) {
  const auto parse = [](const char* curve) {
    return parse_rates(Json::parse(std::string(R"({"axis":"n","curves":[)") + curve + "]}"), "r");
  };
  EXPECT_THROW(parse(R"({"name":"a","x":[1,2],"median":[1],"low":[1,2],"high":[1,2]})"), ValueError);
  EXPECT_THROW(parse(R"({"name":"a","x":["one"]})"), ValueError);
  const auto rates = parse(R"({"name":"a","x":[1],"median":[null],"low":[1],"high":[2]})");
  EXPECT_TRUE(std::isnan(rates.curves[0].median[0]));
  EXPECT_TRUE(std::isnan(rates.curves[0].slope));
}

}  // namespace gw::test::experiment_run_cases
