// Sections of the report that are tables or bars: verdicts, results, cost, runs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/report/arm_standing.h"
#include "gatewright/report/charts.h"
#include "gatewright/report/report_sections.h"
#include "gatewright/runs/run_directory.h"

namespace gw::inline report {
namespace {

std::string verdict_mark(const std::string& verdict) {
  const bool pass = verdict == "pass", miss = verdict == "fail";
  return fmt::format("<span class=\"verdict {}\">{}{}</span>",
                     pass   ? "pass"
                     : miss ? "fail"
                            : "other",
                     pass   ? "✓ "
                     : miss ? "✗ "
                            : "",
                     escape_html(pass   ? "holds"
                                 : miss ? "missed"
                                        : verdict));
}

std::map<std::string, double> metrics_of(const Evaluation& e) {
  std::map<std::string, double> found = e.metrics;
  found["clean_accuracy"] = e.clean_accuracy;
  found["flip_rate"] = e.flip_rate;
  for (const auto& [attack, value] : e.robust_accuracy) found["robust_accuracy/" + attack] = value;
  found["total_macs"] = e.backbone_macs + (std::isfinite(e.router_macs) ? e.router_macs : 0);
  std::erase_if(found, [](const auto& item) { return !std::isfinite(item.second); });
  return found;
}

std::vector<ArmSummary> summarise(const ReportData& data) {
  std::vector<ArmSummary> arms;
  for (const std::string& arm : data.arms) {
    ArmSummary summary{arm, 0, {}, data.title_of(arm)};
    std::map<std::string, int> counts;
    for (const RunData& run : data.runs) {
      if (run.arm != arm || !run.evaluation) continue;
      ++summary.seeds;
      for (const auto& [name, value] : metrics_of(*run.evaluation)) {
        auto [at, fresh] = summary.metrics.try_emplace(name, Range{0, value, value});
        at->second = {at->second.mean + value, std::min(at->second.min, value),
                      std::max(at->second.max, value)};
        ++counts[name];
      }
    }
    for (auto& [name, range] : summary.metrics) range.mean /= counts[name];
    if (summary.seeds > 0) arms.push_back(std::move(summary));
  }
  return arms;
}

std::vector<std::string> metric_names(const std::vector<ArmSummary>& arms) {
  std::vector<std::string> names;
  for (const ArmSummary& arm : arms)
    for (const auto& item : arm.metrics)
      if (std::find(names.begin(), names.end(), item.first) == names.end()) names.push_back(item.first);
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return std::pair(metric_rank(a), a) < std::pair(metric_rank(b), b);
  });
  return names;
}

/// The worst case is recorded once as the robust accuracy and once among the attacks: one column of the two.
void drop_repeated(ArmSummary& arm) {
  for (const char* list : {"robust.worst_case", "robust_accuracy/worst_case"}) {
    const auto found = arm.metrics.find(list);
    if (found == arm.metrics.end()) continue;
    arm.metrics.try_emplace("robust_accuracy", found->second);
    arm.metrics.erase(list);
  }
}

std::string metric_cell(const Range& range, const std::string& name, int64_t seeds, bool best) {
  const Unit unit = unit_of_metric(name);
  std::string html = format_value(range.mean, unit);
  if (best) html = "<b>" + html + "</b>";
  if (seeds > 1 && range.min < range.max)
    html += "<small>" + format_value(range.min, unit) + " … " + format_value(range.max, unit) + "</small>";
  return html;
}

/// Measures that stand beside the table, in its file: those that another column or the section on cost holds
/// already.
bool beside(const std::string& name) {
  return name.rfind("dense_ms_per_image.", 0) == 0 || name == "parameters" || name == "pathway_ratio" ||
         name == "router_ratio";
}

/// One line per arm and metric: what a reader wants to compute with.
std::string result_csv(const std::vector<ArmSummary>& arms) {
  const auto quoted = [](std::string text) {
    for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
    return '"' + text + '"';
  };
  std::string csv = "arm,metric,seeds,mean,min,max\n";
  for (const ArmSummary& arm : arms)
    for (const auto& [name, range] : arm.metrics)
      csv += fmt::format("{},{},{},{},{},{}\n", quoted(arm.arm), quoted(name), arm.seeds, range.mean,
                         range.min, range.max);
  return csv;
}

Table result_table(std::vector<ArmSummary> arms, const std::string& caption) {
  for (ArmSummary& arm : arms) drop_repeated(arm);
  Table table;
  table.caption = caption;
  table.css_class = "results", table.stacked = true;
  table.csv = result_csv(arms);
  table.header = {"arm", "seeds"};
  for (const ArmSummary& arm : arms)
    table.rows.push_back(
        {escape_html(arm.title.empty() ? arm.arm : arm.title), fmt::format("{}", arm.seeds)});
  for (const std::string& name : metric_names(arms)) {
    if (beside(name)) continue;
    table.header.push_back(metric_heading(name));
    double best = -std::numeric_limits<double>::infinity();
    for (const ArmSummary& arm : arms)
      if (arm.metrics.count(name)) best = std::max(best, arm.metrics.at(name).mean);
    const bool more_is_better = arms.size() > 1 && name.find("accuracy") != std::string::npos;
    for (size_t i = 0; i < arms.size(); ++i) {
      const auto found = arms[i].metrics.find(name);
      table.rows[i].push_back(found == arms[i].metrics.end()
                                  ? "–"
                                  : metric_cell(found->second, name, arms[i].seeds,
                                                more_is_better && found->second.mean == best));
    }
  }
  return table;
}

const char* spread_caption(const std::vector<ArmSummary>& arms) {
  const bool several =
      std::any_of(arms.begin(), arms.end(), [](const ArmSummary& arm) { return arm.seeds > 1; });
  return several ? "Mean over seeds, with least and largest" : "One seed";
}

/// An arm that is itself the dense model needs no bar of reference beside it.
bool is_dense(const Evaluation& e) {
  return !(e.router_macs > 0) && std::isfinite(e.dense_macs) && e.backbone_macs >= e.dense_macs;
}

/// Puts the reference first, unless an arm is the reference.
std::string with_dense(BarChart chart, double dense) {
  if (chart.rows.empty()) return "";
  const bool has =
      std::any_of(chart.rows.begin(), chart.rows.end(), [](const auto& row) { return row.reference; });
  if (dense > 0 && !has) chart.rows.insert(chart.rows.begin(), {"dense: all experts", {dense}, true});
  return bar_chart(chart);
}

std::string mac_bars(const std::vector<const RunData*>& runs) {
  BarChart chart{"Multiply-adds per image", "", Unit::kMacs, {"backbone", "router"}, {}};
  double dense = 0;
  for (const RunData* run : runs) {
    const Evaluation& e = *run->evaluation;
    if (std::isfinite(e.dense_macs)) dense = std::max(dense, e.dense_macs);
    if (std::isfinite(e.backbone_macs))
      chart.rows.push_back({run->name(), {e.backbone_macs, e.router_macs}, is_dense(e)});
  }
  return with_dense(std::move(chart), dense);
}

std::string time_bars(const std::vector<const RunData*>& runs, int64_t batch) {
  BarChart chart{
      "Measured time per image", fmt::format("batch {}", batch), Unit::kMilliseconds, {"time"}, {}};
  double dense = 0;
  for (const RunData* run : runs) {
    const auto timing = run->evaluation->timing.find(batch);
    if (timing == run->evaluation->timing.end()) continue;
    if (std::isfinite(timing->second.dense_ms_per_image))
      dense = std::max(dense, timing->second.dense_ms_per_image);
    if (std::isfinite(timing->second.ms_per_image))
      chart.rows.push_back({run->name(), {timing->second.ms_per_image}, is_dense(*run->evaluation)});
  }
  return with_dense(std::move(chart), dense);
}

}  // namespace

namespace {

std::string mark_table(const std::vector<const CheckRow*>& rows, const std::string& caption) {
  if (rows.empty()) return "";
  Table table;
  table.caption = caption;
  table.header = {"claim", "mark", "measured", "spread", "verdict", "note"};
  table.text_columns = {1, 4, 5};
  table.css_class = "check";
  for (const CheckRow* row : rows)
    table.rows.push_back({escape_html(row->claim), escape_html(row->mark), escape_html(row->measured),
                          escape_html(row->spread), verdict_mark(row->verdict), escape_html(row->note)});
  return render_table(table);
}

bool is_claim(const CheckRow& row) { return row.verdict == "shown" || row.verdict == "not shown"; }

}  // namespace

std::string verdict_section(const ReportData& data) {
  std::string body;
  size_t pass = 0, all = 0, shown = 0, claims = 0,
         unjudged = 0;  // a paper's claim is shown or not; it is no mark of ours
  for (const CheckResult& result : data.checks) {
    std::vector<const CheckRow*> judged, others;
    for (const CheckRow& row : result.rows) {
      const bool other = row.verdict == "not judged";
      (other ? others : judged).push_back(&row);
      (other ? unjudged : is_claim(row) ? claims : all) += 1;
      pass += row.verdict == "pass" ? 1 : 0, shown += row.verdict == "shown" ? 1 : 0;
    }
    const std::string all_of = "What the paper claims, the mark that a run must meet, and what was measured";
    body += mark_table(judged, data.checks.size() > 1 ? result.title : all_of);
    body += mark_table(others,
                       "Not judged: measured, but these marks were set for longer runs or need more seeds");
  }
  if (body.empty()) return "";
  auto summary = fmt::format("{} of {} marks hold.", pass, all);
  if (claims > 0) summary += fmt::format(" Of the paper's claims beyond them, {} of {} show.", shown, claims);
  if (unjudged > 0)
    summary += fmt::format(" {} more {} measured but not judged.", unjudged, unjudged == 1 ? "is" : "are");
  return section("check", "Claims and marks", summary, body);
}

std::string result_section(const ReportData& data) {
  std::string body;
  for (const CheckResult& result : data.checks)
    if (!result.arms.empty()) body += render_table(result_table(result.arms, spread_caption(result.arms)));
  const auto measured = summarise(data);
  if (body.empty() && !measured.empty())
    body = render_table(result_table(measured, spread_caption(measured)));
  return section("results", "Results", "", body);
}

/// Ratios of every arm with a router, so that a saving on paper that is none on the clock is read before the
/// bars.
std::string cost_words(const ReportData& data) {
  std::string text;
  for (const ArmStanding& arm : standings(data)) {
    if (!arm.routed || !std::isfinite(arm.macs_ratio)) continue;
    const std::string time = time_words(arm);
    text += fmt::format("{}{}: {:.2f} of the dense network's multiply-adds{}{}.", text.empty() ? "" : " ",
                        arm.title, arm.macs_ratio, time.empty() ? "" : ", ", time);
  }
  return text.empty() ? "Multiply-adds and measured time." : escape_html(text);
}

std::string cost_section(const ReportData& data) {
  const auto runs = data.first_of_arms([](const RunData& run) { return run.evaluation.has_value(); });
  std::vector<int64_t> batches;
  for (const RunData* run : runs)
    for (const auto& item : run->evaluation->timing) batches.push_back(item.first);
  std::sort(batches.begin(), batches.end());
  batches.erase(std::unique(batches.begin(), batches.end()), batches.end());
  std::string body = mac_bars(runs);
  for (int64_t batch : batches) body += time_bars(runs, batch);
  if (body.empty()) return "";
  return section("cost", "Cost", cost_words(data), "<div class=\"grid\">" + body + "</div>");
}

std::string run_section(const ReportData& data) {
  std::string body;
  for (const RunData& run : data.runs) {
    const std::string checkpoint = run.evaluation ? run.evaluation->checkpoint : "";
    body +=
        fmt::format("<details><summary>{}</summary><p><code>{}</code>{}</p>", escape_html(run.label()),
                    escape_html(run.directory),
                    checkpoint.empty() ? "" : ", checkpoint <code>" + escape_html(checkpoint) + "</code>");
    if (!run.about.command.empty()) body += "<p><code>" + escape_html(run.about.command) + "</code></p>";
    if (!run.recipe.is_null()) body += "<pre>" + escape_html(dump_json(run.recipe, 2)) + "</pre>";
    body += "</details>\n";
  }
  return section("runs", "Runs", "Each with its directory and its resolved recipe.", body);
}

}  // namespace gw::inline report
