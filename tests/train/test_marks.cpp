// Marks on curves, on the order of arms, and "not worse by more than": one that holds and one that does not,
// what cannot be judged, and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/base/json.h"
#include "gatewright/train/check.h"
#include "gatewright/train/interval.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::marks_cases {

using gw::ArmResult;
using gw::Curve;
using gw::Json;
using gw::Mark;

const double kNan = std::numeric_limits<double>::quiet_NaN();

Mark mark_of(const Json& table) { return gw::read_mark("r", table, {"a", "b", "c"}, {"tiny"}); }

gw::MarkResult judged(const Json& table, const std::vector<ArmResult>& results) {
  gw::Recipe recipe;
  recipe.marks = {mark_of(table)};
  return gw::judge(recipe, "tiny", results).at(0);
}

/// Arm, seed 0, 1, … with the values of metric "x".
std::vector<ArmResult> runs(const std::map<std::string, std::vector<double>>& values) {
  std::vector<ArmResult> all;
  for (const auto& [arm, list] : values) {
    for (size_t i = 0; i < list.size(); ++i)
      all.push_back({arm, static_cast<int64_t>(i), {{"x", list[i]}}, {}});
  }
  return all;
}

TEST(Curves, AreaSlopeAndCrossing) {
  const Curve falling{"step", {0, 1, 3}, {4, 2, 1}};
  EXPECT_DOUBLE_EQ(gw::area_of(falling), 3 + 3);
  EXPECT_DOUBLE_EQ(gw::slope_of({"n", {1, 2, 3}, {5, 7, 9}}), 2);
  EXPECT_DOUBLE_EQ(gw::crossing_of(falling, 3), 0.5) << "half way between its first points";
  EXPECT_DOUBLE_EQ(gw::crossing_of(falling, 2), 1);
  EXPECT_DOUBLE_EQ(gw::crossing_of({"n", {0, 1, 2, 3}, {0, 2, 0, 2}}, 1), 0.5) << "the first time";
  EXPECT_TRUE(std::isinf(gw::crossing_of(falling, 0.5)));
  EXPECT_DOUBLE_EQ(gw::crossing_of({"n", {0, 1, 2}, {0, kNan, 2}}, 1), 1) << "a gap is bridged";
  EXPECT_TRUE(std::isnan(gw::area_of({"n", {0, 1}, {1, kNan}})));
  EXPECT_TRUE(std::isnan(gw::area_of({"n", {0}, {1}})));
  EXPECT_TRUE(std::isnan(gw::slope_of({"n", {2, 2}, {1, 3}})));
  EXPECT_TRUE(std::isnan(gw::crossing_of({"n", {}, {}}, 1)));
}

// Tables of Student's t, as printed.
TEST(Intervals, StudentsQuantiles) {
  EXPECT_NEAR(gw::student_quantile(0.95, 1), 6.313751515, 1e-8);
  EXPECT_NEAR(gw::student_quantile(0.95, 2), 2.919985580, 1e-8);
  EXPECT_NEAR(gw::student_quantile(0.975, 4), 2.776445105, 1e-8);
  EXPECT_NEAR(gw::student_quantile(0.975, 9), 2.262157163, 1e-8);
  EXPECT_NEAR(gw::student_quantile(0.99, 30), 2.457261542, 1e-8);
  EXPECT_NEAR(gw::student_quantile(0.05, 3), -2.353363435, 1e-8);
  EXPECT_NEAR(gw::student_quantile(0.5, 7), 0, 1e-12);
  EXPECT_THROW(gw::student_quantile(1, 3), gw::ValueError);
}

TEST(Intervals, LowerEnds) {
  // mean 2, deviation 1, error 1/sqrt(3)
  EXPECT_NEAR(gw::lower_by_t({1, 2, 3}, 0.95), 2 - 2.919985580 / std::sqrt(3.0), 1e-8);
  EXPECT_DOUBLE_EQ(gw::lower_by_t({2, 2}, 0.95), 2);
  EXPECT_THROW(gw::lower_by_t({1}, 0.95), gw::ValueError);
  const std::vector<double> values{1, 2, 3, 4, 5, 6, 7, 8};
  const double low = gw::lower_by_bootstrap(values, 0.95);
  EXPECT_EQ(low, gw::lower_by_bootstrap(values, 0.95));
  EXPECT_NEAR(low, 4.5 - 1.645 * std::sqrt(5.25 / 8), 0.15) << "the normal approximation of its distribution";
  EXPECT_THROW(gw::lower_by_bootstrap({1, 2, 3, 4}, 0.95), gw::ValueError);
}

TEST(CurveMarks, AreJudgedLikeMetrics) {
  std::vector<ArmResult> results{{"a", 0, {}, {{"loss", {"step", {0, 10}, {4, 2}}}}},
                                 {"b", 0, {}, {{"loss", {"step", {0, 10}, {4, 3}}}}}};
  const auto with = [](Json more) {
    more.update({{"curve", "loss"}, {"arm", "a"}});
    return more;
  };
  EXPECT_TRUE(judged(with({{"measure", "area"}, {"at_most", 30}}), results).holds);
  EXPECT_FALSE(judged(with({{"measure", "area"}, {"at_most", 29}}), results).holds);
  EXPECT_TRUE(judged(with({{"measure", "slope"}, {"at_least", -0.2}, {"at_most", -0.2}}), results).holds);
  EXPECT_FALSE(judged(with({{"measure", "slope"}, {"at_least", -0.1}}), results).holds);
  EXPECT_TRUE(judged(with({{"measure", "crossing"}, {"level", 3}, {"at_most", 5}}), results).holds);
  EXPECT_FALSE(judged(with({{"measure", "crossing"}, {"level", 3}, {"at_most", 4}}), results).holds);
  EXPECT_FALSE(judged(with({{"measure", "crossing"}, {"level", 1}, {"at_most", 1e9}}), results).holds)
      << "never passed";
  EXPECT_EQ(judged(with({{"measure", "area"}, {"minus", "b"}, {"at_most", 0}}), results).measured, -5);
  EXPECT_EQ(
      judged(with({{"measure", "crossing"}, {"level", 3}, {"divided_by", "b"}, {"at_most", 0.5}}), results)
          .measured,
      0.5);
  results[0].curves.clear();
  EXPECT_EQ(judged(with({{"measure", "area"}, {"at_most", 30}}), results).seeds, 0u) << "not measured";
}

TEST(OrderMarks, MeansMustRise) {
  const auto results = runs({{"a", {1, 2}}, {"b", {3, 1}}, {"c", {9, 8, 7}}});
  const auto holds = judged({{"metric", "x"}, {"order", {"a", "b", "c"}}}, results);
  EXPECT_TRUE(holds.holds) << "1.5, 2, 8.5 although one seed has it the other way";
  EXPECT_EQ(holds.seeds, 2u) << "seeds that all of them have";
  EXPECT_DOUBLE_EQ(holds.measured, 0.5);
  EXPECT_EQ(holds.low, -1);
  EXPECT_EQ(holds.detail, "a 1.5, b 2, c 8.5");
  EXPECT_FALSE(judged({{"metric", "x"}, {"order", {"b", "a", "c"}}}, results).holds);
  EXPECT_TRUE(judged({{"metric", "x"}, {"order", {"a", "b"}}, {"at_least", 0.5}}, results).holds);
  EXPECT_FALSE(judged({{"metric", "x"}, {"order", {"a", "b"}}, {"at_least", 0.6}}, results).holds);
  EXPECT_FALSE(judged({{"metric", "x"}, {"order", {"a", "b"}}}, runs({{"a", {1}}, {"b", {1}}})).holds)
      << "a tie";
  EXPECT_FALSE(judged({{"metric", "x"}, {"order", {"a", "b"}}}, runs({{"a", {1}}, {"b", {kNan}}})).holds);
  EXPECT_EQ(judged({{"metric", "x"}, {"order", {"a", "b"}}}, runs({{"a", {1}}})).seeds, 0u);
}

TEST(NotWorseMarks, TheEndOfTheIntervalDecidesAndNotTheMean) {
  const auto mark = [](double by, const char* better = "more") {
    return Json{{"metric", "x"}, {"arm", "a"}, {"minus", "b"}, {"not_worse_by", by}, {"better", better}};
  };
  // Differences -1, 0, 1: the mean is 0, the end of the interval -2.92/sqrt(3) = -1.69.
  const auto results = runs({{"a", {4, 5, 6}}, {"b", {5, 5, 5}}});
  EXPECT_TRUE(judged(mark(1.7), results).holds);
  EXPECT_FALSE(judged(mark(1.6), results).holds) << "as the mean alone would";
  EXPECT_EQ(judged(mark(1.7), results).detail, "worse by 1.69 or less, 95 % sure");
  const auto better = runs({{"a", {7, 7.1, 7.2}}, {"b", {5, 5, 5}}});
  EXPECT_TRUE(judged(mark(0), better).holds);
  EXPECT_FALSE(judged(mark(1, "less"), better).holds) << "less is better: a is worse by 2";
  auto scaled = mark(170);
  scaled["scale"] = 100;
  EXPECT_TRUE(judged(scaled, results).holds);
  auto narrow = mark(1.6);
  narrow["confidence"] = 0.9;
  EXPECT_TRUE(judged(narrow, results).holds);
  EXPECT_FALSE(judged(mark(9), runs({{"a", {4, kNan}}, {"b", {4, 4}}})).holds);
}

TEST(NotWorseMarks, TooFewSeedsAreNotJudged) {
  const Json by_t{{"metric", "x"}, {"arm", "a"}, {"minus", "b"}, {"not_worse_by", 1}};
  auto by_bootstrap = by_t;
  by_bootstrap["interval"] = "bootstrap";
  const auto one = judged(by_t, runs({{"a", {4}}, {"b", {4}}}));
  EXPECT_EQ(one.unjudged, "1 seed; a t interval needs 2");
  EXPECT_FALSE(one.holds);
  EXPECT_EQ(judged(by_bootstrap, runs({{"a", {4, 4, 4, 4}}, {"b", {4, 4, 4, 4}}})).unjudged,
            "4 seeds; a bootstrap interval needs 5");
  const auto five = runs({{"a", {4, 5, 4, 5, 4}}, {"b", {4, 4, 4, 4, 4}}});
  EXPECT_EQ(judged(by_bootstrap, five).unjudged, "");
  EXPECT_TRUE(judged(by_bootstrap, five).holds);
  by_bootstrap["better"] = "less", by_bootstrap["not_worse_by"] = 0.5;
  EXPECT_FALSE(judged(by_bootstrap, five).holds);
  const auto none = judged(by_t, runs({{"a", {4}}}));
  EXPECT_EQ(none.unjudged, "") << "not measured, which does not hold";
  EXPECT_EQ(none.seeds, 0u);
}

TEST(BadMarks, AreRefusedWhenTheRecipeIsRead) {
  const auto refused = [](const Json& table) { return refusal([&] { mark_of(table); }); };
  const Json order{{"name", "m"}, {"metric", "x"}, {"order", {"a", "b"}}};
  const Json not_worse{{"metric", "x"}, {"arm", "a"}, {"minus", "b"}, {"not_worse_by", 1}};
  const Json curve{{"curve", "c"}, {"arm", "a"}, {"at_least", 1}};
  const auto with = [](Json table, const Json& more) {
    table.update(more);
    return table;
  };
  for (const auto& good : {order, not_worse, curve}) EXPECT_EQ(refused(good), "accepted") << good;
  expect_part(refused(with(order, {{"order", {"a", "bb"}}})), "unknown arm \"bb\"; did you mean \"b\"?");
  expect_part(refused(with(order, {{"order", {"a", "a"}}})), "one of them twice");
  expect_part(refused(with(order, {{"order", {"a"}}})), "at least two different arms");
  expect_part(refused(with(order, {{"arm", "a"}})), "expected no \"arm\" beside \"order\"");
  expect_part(refused(with(order, {{"at_most", 1}})), "expected no \"at_most\" beside \"order\"");
  expect_part(refused(with(not_worse, {{"at_least", 1}})),
              "expected no \"at_least\" beside \"not_worse_by\"");
  expect_part(refused(with(not_worse, {{"minus", ""}})), "is compared with under \"minus\", got none");
  expect_part(refused(with(not_worse, {{"minus", "q"}})), "unknown arm \"q\"");
  expect_part(refused(with(not_worse, {{"interval", "bootstrp"}})), "did you mean \"bootstrap\"?");
  expect_part(refused(with(not_worse, {{"not_worse_by", -1}})), "not_worse_by");
  expect_part(refused(with(curve, {{"better", "less"}})), "expected no \"better\" beside a bound");
  expect_part(refused(with(curve, {{"metric", "x"}})), "expected a metric or a curve, got both");
  expect_part(refused(with(curve, {{"measure", "slop"}})), "did you mean \"slope\"?");
  expect_part(refused(with(curve, {{"measure", "crossing"}})),
              "expected \"level\" with measure = \"crossing\"");
  expect_part(refused(with(curve, {{"level", 1}})), "expected \"level\" with measure = \"crossing\"");
  expect_part(refused({{"metric", "x"}, {"arm", "a"}, {"at_least", 1}, {"measure", "area"}}),
              "expected a curve for \"measure\", got none");
}

TEST(BadMarks, NamesThatNoRunLeavesAreRefused) {
  const std::map<std::string, gw::LeftNames> names{{"a", {{"accuracy"}, {"train.loss"}, {}}},
                                                   {"b", {{"accuracy", "robust"}, {}, {}}}};
  const auto refused = [&](const Json& table) {
    return refusal([&] { gw::check_names("r", mark_of(table), names); });
  };
  EXPECT_EQ(refused({{"metric", "accuracy"}, {"arm", "a"}, {"minus", "b"}, {"at_least", 0}}), "accepted");
  EXPECT_EQ(refused({{"metric", "anything"}, {"arm", "c"}, {"at_least", 0}}), "accepted") << "c is not known";
  expect_part(refused({{"name", "m"}, {"metric", "acuracy"}, {"arm", "a"}, {"at_least", 0}}),
              "recipe r mark \"m\": unknown metric \"acuracy\"; did you mean \"accuracy\"?");
  expect_part(refused({{"metric", "robust"}, {"order", {"b", "a"}}}), "unknown metric \"robust\"");
  expect_part(refused({{"metric", "accuracy"}, {"minus_metric", "robst"}, {"arm", "b"}, {"at_least", 0}}),
              "did you mean \"robust\"?");
  expect_part(refused({{"curve", "train.los"}, {"arm", "a"}, {"at_least", 0}}),
              "unknown curve \"train.los\"; did you mean \"train.loss\"?");
}

}  // namespace gw::test::marks_cases
