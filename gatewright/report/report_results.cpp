// The section of what arms leave beside numbers: curves over an axis of their own, and tables.
#include <fmt/format.h>

#include <set>

#include "gatewright/base/shown.h"
#include "gatewright/report/charts.h"
#include "gatewright/report/report_sections.h"

namespace gw::inline report {
namespace {

/// One curve of all arms that left it.
std::string left_curve(const ReportData& data, const std::vector<const RunData*>& runs,
                       const std::string& name) {
  LineChart chart;
  chart.title = words(name);
  chart.legend = true;
  for (const RunData* run : runs) {
    const auto found = run->results.curves.find(name);
    if (found == run->results.curves.end()) continue;
    chart.x_label = found->second.axis;
    chart.series.push_back({run->name(), data.arm_index(run->arm), false, found->second.x, found->second.y});
  }
  return line_chart(chart);
}

std::string left_table(const RunData& run, const std::string& name, const ValueTable& values) {
  Table table;
  table.caption = run.name() + ": " + words(name);
  table.header = {values.row};
  for (const auto& column : values.columns) table.header.push_back(column);
  for (size_t i = 0; i < values.names.size(); ++i) {
    std::vector<std::string> row{escape_html(values.names[i])};
    for (const double value : values.values[i]) row.push_back(format_value(value, Unit::kPlain));
    table.rows.push_back(std::move(row));
  }
  return render_table(table);
}

}  // namespace

std::string left_section(const ReportData& data) {
  const auto runs = data.first_of_arms([](const RunData& run) { return !run.results.empty(); });
  std::set<std::string> names;
  for (const RunData* run : runs)
    for (const auto& item : run->results.curves) names.insert(item.first);
  std::string curves, tables;
  for (const std::string& name : names) curves += left_curve(data, runs, name);
  for (const RunData* run : runs)
    for (const auto& [name, values] : run->results.tables) tables += left_table(*run, name, values);
  const std::string body = (curves.empty() ? "" : "<div class=\"grid\">" + curves + "</div>") + tables;
  return section("left", "Curves and tables", "What the first seed of each arm left beside its numbers.",
                 body);
}

}  // namespace gw::inline report
