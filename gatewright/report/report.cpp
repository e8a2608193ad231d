#include "gatewright/report/report.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/html.h"
#include "gatewright/report/report_sections.h"
#include "gatewright/runs/run_directory.h"
#include "gatewright/train/robust/evaluate.h"
#include "gatewright/train/robust/threat_model.h"

namespace gw::inline report {
namespace {

ReportData read_all(const std::vector<std::string>& directories) {
  GW_CHECK(!directories.empty(), "report: expected at least one run or check directory, got none; name one");
  ReportData data;
  for (const std::string& directory : directories) {
    if (!is_check_directory(directory)) {
      data.runs.push_back(read_run(directory));
      continue;
    }
    data.checks.push_back(parse_check(read_json(directory + "/check.json"), directory + "/check.json"));
    for (const std::string& run : runs_of_check(directory)) {
      data.runs.push_back(read_run(run));
      for (const ArmSummary& arm : data.checks.back().arms)
        if (arm.arm == data.runs.back().arm) data.runs.back().title = arm.title;
    }
  }
  for (const RunData& run : data.runs)
    if (data.arm_index(run.arm) < 0) data.arms.push_back(run.arm);
  return data;
}

std::string recipe_text(const RunData& run, const char* key) {
  return run.recipe.is_object() && run.recipe.contains(key) && run.recipe[key].is_string()
             ? run.recipe[key].get<std::string>()
             : "";
}

std::string page_title(const ReportData& data, const ReportOptions& options) {
  if (!options.title.empty()) return options.title;
  for (const CheckResult& result : data.checks)
    if (!result.title.empty()) return result.title;
  for (const RunData& run : data.runs)
    if (!run.about.title.empty()) return run.about.title;
  for (const char* key : {"title", "name"})
    for (const RunData& run : data.runs)
      if (const std::string text = recipe_text(run, key); !text.empty()) return text;
  return data.runs.empty() ? "Check" : data.runs.front().arm;
}

/// The paper of the first run that names one.
std::string paper(const ReportData& data) {
  for (const RunData& run : data.runs) {
    if (!run.about.paper.empty()) return run.about.paper;
    const auto text = run.recipe.is_object() ? paper_text(run.recipe.value("paper", Json())) : "";
    if (!text.empty()) return text;
  }
  return "";
}

std::string fact(const std::string& name, const std::string& value, bool code = false) {
  if (value.empty()) return "";
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name,
                     code ? "<code>" + escape_html(value) + "</code>" : escape_html(value));
}

std::string counted(size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

/// "1e+06 examples": what a training had in place of epochs.
std::string budget_text(const Json& budget) {
  for (const auto& [unit, amount] : budget.items()) {
    if (amount.is_number() && amount.get<double>() > 0)
      return fmt::format("{:g} {}", amount.get<double>(), unit == "macs" ? "multiply-adds" : unit);
  }
  return "";
}

/// What the runs share and a reader needs to judge the numbers: attack radius, epochs, seeds, attacks, test
/// images.
std::string settings(const ReportData& data) {
  std::vector<std::string> radii, epochs, budgets, seeds, images, attacks;
  for (const RunData& run : data.runs) {
    const double length = number_or_nan(run.recipe, "epochs");
    const bool attacked = run.evaluation && !run.evaluation->robust_accuracy.empty();
    if (const auto radius = attacked ? recorded_radius(run.recipe) : std::nullopt)
      add_once(radii, fmt::format("{:.3g}", *radius));
    const Json budget = run.recipe.is_object() ? run.recipe.value("budget", Json()) : Json();
    if (budget.is_object() && !budget.empty())
      add_once(budgets, budget_text(budget));
    else if (std::isfinite(length))
      add_once(epochs, fmt::format("{:g}", length));
    if (run.seed) add_once(seeds, fmt::format("{}", *run.seed));
    if (run.evaluation && run.evaluation->images > 0)
      add_once(images, fmt::format("{}", run.evaluation->images));
    if (run.evaluation)
      for (const auto& item : run.evaluation->robust_accuracy)
        if (item.first != kWorstCase)
          add_once(attacks, words(item.first));  // the lowest of the others is no attack of its own
  }
  const auto list = [](const std::vector<std::string>& texts) {
    return fmt::format("{}", fmt::join(texts, ", "));
  };
  return fact("Attack radius ε", list(radii)) + fact("Attacks", list(attacks)) +
         fact("Epochs", list(epochs)) + fact("Budget", list(budgets)) +
         fact(seeds.size() == 1 ? "Seed" : "Seeds", list(seeds)) + fact("Test images", list(images));
}

/// Where runs without a check come from; the commands of several stand in the section of runs.
std::string origin(const ReportData& data) {
  std::vector<std::string> machines, dates;
  for (const RunData& run : data.runs) add_once(machines, run.about.machine), add_once(dates, run.about.date);
  return fact("Command", data.runs.size() == 1 ? data.runs[0].about.command : "", true) +
         fact("Machine", fmt::format("{}", fmt::join(machines, "; "))) +
         fact("Date", fmt::format("{}", fmt::join(dates, ", ")));
}

std::string header(const ReportData& data, const std::string& title) {
  const std::string what = data.checks.empty() ? "Run report" : "Check report";
  return fmt::format("<header><p class=\"kind\">{}</p><h1>{}</h1></header>\n", what, escape_html(title));
}

/// Below the first sentence and picture: what was run, on what, how and where.
std::string fact_list(const ReportData& data) {
  std::vector<std::string> datasets;
  for (const RunData& run : data.runs)
    if (run.evaluation) add_once(datasets, run.evaluation->dataset);
  std::string facts = fact("Paper", paper(data)) + fact("Data", fmt::format("{}", fmt::join(datasets, ", ")));
  if (data.runs.size() == 1) facts += fact("Arm", data.runs[0].name());
  if (data.runs.size() > 1)
    facts += fact("Runs", counted(data.arms.size(), "arm") + ", " + counted(data.runs.size(), "run"));
  facts += settings(data);
  for (const CheckResult& result : data.checks)
    facts +=
        fact("Command", result.command, true) + fact("Machine", result.machine) + fact("Date", result.date);
  if (data.checks.empty()) facts += origin(data);
  return facts.empty() ? "" : "<dl class=\"facts\">" + facts + "</dl>\n";
}

}  // namespace

int ReportData::arm_index(const std::string& arm) const {
  const auto found = std::find(arms.begin(), arms.end(), arm);
  return found == arms.end() ? -1 : static_cast<int>(found - arms.begin());
}

std::string ReportData::title_of(const std::string& arm) const {
  const auto found =
      std::find_if(runs.begin(), runs.end(), [&](const RunData& run) { return run.arm == arm; });
  return found == runs.end() ? arm : found->name();
}

std::string section(const std::string& id, const std::string& title, const std::string& lead,
                    const std::string& body) {
  if (body.empty()) return "";
  return fmt::format(
      "<section id=\"{}\" aria-labelledby=\"{}-title\"><h2 id=\"{}-title\">{}</h2>{}{}</section>\n", id, id,
      id, title, lead.empty() ? "" : "<p class=\"lead\">" + lead + "</p>", body);
}

ReportPage make_report(const std::vector<std::string>& run_directories, const ReportOptions& options) {
  GW_CHECK(options.points_per_curve >= 2,
           "report: expected at least 2 points per curve, got {}; leave the default",
           options.points_per_curve);
  const ReportData data = read_all(run_directories);
  const std::string title = page_title(data, options);
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
                     escape_html(title) + "</title>";
  html +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" "
      "content=\"light dark\">";
  html += kReportPolicy;
  html += std::string("<style>") + kReportCss + "</style></head><body><main>\n" + header(data, title);
  html += headline_section(data) + fact_list(data) + verdict_section(data) + result_section(data) +
          rate_section(data) + left_section(data);
  html += curve_section(data, options) + routing_section(data, options);
  html += route_section(data) + sample_section(data) + cost_section(data) + run_section(data);
  html += "</main><footer><p>Written by Gatewright " GW_VERSION
          ". Hover or touch a curve to read its values; every chart has its data folded below.</p></footer>";
  return {html + "<script>" + kReportScript + "</script></body></html>\n", in_short(data)};
}

std::string render_report(const std::vector<std::string>& run_directories, const ReportOptions& options) {
  return make_report(run_directories, options).html;
}

}  // namespace gw::inline report
