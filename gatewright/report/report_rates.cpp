// The section of statistical experiments: medians over sample size or penalty, one chart for each measured
// quantity.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gatewright/report/charts.h"
#include "gatewright/report/report_sections.h"

namespace gw::inline report {
namespace {

std::vector<std::string> curve_names(const std::vector<const RunData*>& runs) {
  std::vector<std::string> names;
  for (const RunData* run : runs) {
    for (const Rate& rate : run->rates.curves)
      if (std::find(names.begin(), names.end(), rate.name) == names.end()) names.push_back(rate.name);
  }
  return names;
}

/// Medians of all arms. Slopes stand in the legend: they are what the theory predicts.
std::string rate_chart(const ReportData& data, const std::vector<const RunData*>& runs,
                       const std::string& name) {
  LineChart chart;
  chart.title = name;
  chart.legend = true;
  chart.log_log = true;
  for (const RunData* run : runs) {
    for (const Rate& rate : run->rates.curves) {
      if (rate.name != name) continue;
      chart.x_label = run->rates.axis;
      const std::string slope = std::isfinite(rate.slope) ? fmt::format(", slope {:.2f}", rate.slope) : "";
      chart.series.push_back({run->arm + slope, data.arm_index(run->arm), false, rate.x, rate.median});
    }
  }
  return line_chart(chart);
}

Table quartiles(const std::vector<const RunData*>& runs) {
  Table table;
  table.caption = "Medians at the ends of the axis, with quartiles";
  table.header = {"arm", "quantity", "first", "quartiles", "last", "quartiles", "slope"};
  table.text_columns = {1};
  const auto number = [](double value) { return format_value(value, Unit::kPlain); };
  for (const RunData* run : runs) {
    for (const Rate& rate : run->rates.curves) {
      if (rate.x.empty()) continue;
      const auto range = [&](size_t i) { return number(rate.low[i]) + " … " + number(rate.high[i]); };
      const size_t last = rate.x.size() - 1;
      table.rows.push_back({escape_html(run->arm), escape_html(rate.name), number(rate.median[0]), range(0),
                            number(rate.median[last]), range(last), number(rate.slope)});
    }
  }
  return table;
}

}  // namespace

std::string rate_section(const ReportData& data) {
  const auto runs = data.first_of_arms([](const RunData& run) { return !run.rates.curves.empty(); });
  if (runs.empty()) return "";
  std::string body = "<div class=\"grid\">";
  for (const std::string& name : curve_names(runs)) body += rate_chart(data, runs, name);
  body += "</div>" + render_table(quartiles(runs));
  return section("rates", "Rates",
                 "Medians over replications, first seed of each arm. On logarithmic axes a rate is a slope.",
                 body);
}

}  // namespace gw::inline report
