#include "apps/cli/check_tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/cli/table.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/html.h"

namespace gw {
namespace {

std::string cell(const CheckOutcome& outcome, const std::string& arm, const ResultColumn& column,
                 const std::string& quantity) {
  auto metric = column.metric;
  if (const auto star = metric.find('*'); star != std::string::npos) metric.replace(star, 1, quantity);
  const auto s = spread(outcome.results, arm, metric);
  if (s.count == 0) return "–";
  switch (column.shown) {
    case ResultColumn::Shown::kMacs:
      return format_value(s.mean, Unit::kMacs);
    case ResultColumn::Shown::kPercent:
      return s.count == 1 ? fmt::format("{:.1f}", 100 * s.mean)
                          : fmt::format("{:.1f} ± {:.1f}", 100 * s.mean, 100 * s.deviation);
    case ResultColumn::Shown::kNumber:
      break;
  }
  return fmt::format(fmt::runtime(column.format), s.mean);
}

void print_table(const Recipe& recipe, const CheckOutcome& outcome, const ResultTable& of) {
  std::vector<std::vector<std::string>> rows{{"arm"}};
  if (!of.quantities.empty()) rows[0].push_back("quantity");
  for (const auto& column : of.columns) rows[0].push_back(">" + column.heading);
  for (const auto& arm : recipe.arms) {
    const auto table = outcome.shown.find(arm);
    if (table == outcome.shown.end() || table->second.columns != of.columns) continue;
    auto quantities = table->second.quantities;
    const bool one = quantities.empty();
    if (one) quantities.push_back("");
    for (const auto& quantity : quantities) {
      std::vector<std::string> row{arm_title(recipe, arm)};
      if (!one) row.push_back(quantity);
      const size_t names = row.size();
      for (const auto& column : of.columns) row.push_back(cell(outcome, arm, column, quantity));
      const bool measured = std::any_of(row.begin() + static_cast<std::ptrdiff_t>(names), row.end(),
                                        [](const std::string& text) { return text != "–"; });
      if (measured) rows.push_back(std::move(row));
    }
  }
  if (rows.size() > 1) fmt::print("\n{}{}{}\n", format_table(rows), of.note, of.note.empty() ? "" : "\n");
}

}  // namespace

void print_arms(const Recipe& recipe, const CheckOutcome& outcome) {
  std::vector<ResultTable> printed;
  for (const auto& arm : recipe.arms) {
    const auto table = outcome.shown.find(arm);
    if (table == outcome.shown.end()) continue;
    const auto same = [&](const ResultTable& t) { return t.columns == table->second.columns; };
    if (std::any_of(printed.begin(), printed.end(), same)) continue;
    printed.push_back(table->second);
    print_table(recipe, outcome, table->second);
  }
}

void print_marks(const CheckOutcome& outcome) {
  std::vector<std::vector<std::string>> rows{{"claim", "mark", ">measured", "over seeds", "verdict"}};
  for (const auto& run : outcome.failed) {
    const auto [claim, mark, measured, verdict] = run.line();
    rows.push_back({claim, mark, measured, "", verdict});
  }
  for (const auto& m : outcome.marks) {
    rows.push_back({m.mark.claim, fmt::format("{} {}", m.mark.name, bound_text(m.mark)), measured_text(m),
                    seeds_text(m), verdict_text(m)});
  }
  for (const auto& m : outcome.unjudged) {
    if (m.seeds == 0) continue;
    rows.push_back({m.mark.claim, fmt::format("{} {}", m.mark.name, bound_text(m.mark)), measured_text(m),
                    seeds_text(m), "not judged at this size"});
  }
  fmt::print("{}", format_table(rows));
  for (const auto& run : outcome.failed)
    if (run.what == "failed") fmt::print("{} seed {}: {}\n", run.arm, run.seed, shown(run.why));
}

}  // namespace gw
