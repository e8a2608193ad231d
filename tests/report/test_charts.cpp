// Numbers as text, axes and curves, and the interval of a share.
#include <gtest/gtest.h>

#include <limits>

#include "gatewright/report/arm_standing.h"
#include "gatewright/report/charts.h"
#include "gatewright/report/html.h"
#include "tests/report/markup.h"

using namespace gw;
using namespace gw::test;

TEST(Html, NumbersAndEscapes) {
  EXPECT_EQ(format_value(0.9125, Unit::kPercent), "91.2 %");
  EXPECT_EQ(format_value(58.2e6, Unit::kMacs), "58.2 M");
  EXPECT_EQ(format_value(999, Unit::kMacs), "999");
  EXPECT_EQ(format_value(0.0312, Unit::kMilliseconds), "0.0312 ms");
  EXPECT_EQ(format_value(std::numeric_limits<double>::quiet_NaN(), Unit::kPercent), "–");
  EXPECT_EQ(unit_of_metric("learning_rate"), Unit::kPlain);
  EXPECT_EQ(escape_html("\xC0\xAF\xED\xA0\x80\x7F"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(shorten("门路径选择", 3), "门路…");
}

TEST(Charts, AxesCoverTheirRange) {
  for (const auto& [lo, hi] : std::vector<std::pair<double, double>>{
           {0, 1}, {-3.7, 12}, {0.912, 0.913}, {5, 5}, {0, 0}, {1e-9, 3e-9}, {-1e12, 1e12}}) {
    const Axis axis = make_axis(lo, hi, 5);
    EXPECT_LE(axis.lo, lo);
    EXPECT_GE(axis.hi, hi);
    EXPECT_LT(axis.lo, axis.hi);
    EXPECT_GE(axis.ticks.size(), 2u);
    EXPECT_LE(axis.ticks.size(), 8u);
  }
  const Axis decades = make_axis(0.003, 40, 5, true);
  EXPECT_EQ(decades.ticks.size(), 6u);  // 0.001 … 100
  EXPECT_NEAR(decades.place(0.1), 0.4, 1e-12);
}

TEST(Charts, GapsSplitCurves) {
  LineChart chart;
  chart.title = "Loss";
  chart.series.push_back(
      {"a", 0, false, {1, 2, 3, 4, 5}, {1, 2, std::numeric_limits<double>::quiet_NaN(), 2, 1}});
  EXPECT_EQ(occurrences(line_chart(chart), "<polyline"), 2u);
  chart.series[0].y.assign(5, std::numeric_limits<double>::infinity());
  EXPECT_EQ(occurrences(line_chart(chart), "<polyline"), 0u);
}

TEST(ArmStanding, TheIntervalOfAShareIsWilsons) {
  const Interval half = wilson_interval(0.5, 100);  // 50 of 100, as R's prop.test(50, 100, correct = FALSE)
  EXPECT_NEAR(half.low, 0.4038315, 1e-6);
  EXPECT_NEAR(half.high, 0.5961685, 1e-6);
  EXPECT_EQ(wilson_interval(0, 10).low, 0);
  EXPECT_NEAR(wilson_interval(0, 10).high, 0.2775328, 1e-6);
}
