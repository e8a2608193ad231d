#include "observe/mixture_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/file.h"
#include "observe/charts.h"
#include "observe/report_sections.h"
#include "stats/density.h"
#include "stats/predict.h"

namespace gw {
namespace {

constexpr int64_t kMostPoints = 500, kLinePoints = 120;

std::string number(double value) { return fmt::format("{:.5g}", value); }
std::string number(const std::optional<double>& value) { return value ? number(*value) : "–"; }

/// Rows in equal steps through the table, so that the page stays small.
std::vector<int64_t> sampled_rows(int64_t n) {
  const int64_t every = std::max<int64_t>(1, (n + kMostPoints - 1) / kMostPoints);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < n; i += every) rows.push_back(i);
  return rows;
}

/// A walk along one column while the others stay at their means.
struct Walk {
  int64_t column = -1;
  std::string name;
  std::vector<double> at;
  std::vector<std::vector<double>> x;
};

Walk walk_along(const FitOutcome& outcome, const std::optional<std::vector<int64_t>>& allowed) {
  const auto view = outcome.view();
  Walk walk;
  int64_t next = 0;
  for (const auto& term : outcome.frame.schema.terms) {
    const bool usable = !allowed || std::find(allowed->begin(), allowed->end(), next) != allowed->end();
    if (walk.column < 0 && term.levels.empty() && usable) walk.column = next, walk.name = term.name;
    next += std::max<int64_t>(1, static_cast<int64_t>(term.levels.size()) - 1);
  }
  if (walk.column < 0) return walk;
  std::vector<double> mean(static_cast<size_t>(view.d), 0.0);
  double low = kInfinity, high = -kInfinity;
  for (int64_t i = 0; i < view.n; ++i) {
    for (int64_t j = 0; j < view.d; ++j) mean[static_cast<size_t>(j)] += view.x[i * view.d + j] / static_cast<double>(view.n);
    low = std::min(low, view.x[i * view.d + walk.column]), high = std::max(high, view.x[i * view.d + walk.column]);
  }
  for (int64_t i = 0; i < kLinePoints; ++i) {
    mean[static_cast<size_t>(walk.column)] = low + (high - low) * static_cast<double>(i) / (kLinePoints - 1);
    walk.at.push_back(mean[static_cast<size_t>(walk.column)]);
    walk.x.push_back(mean);
  }
  return walk;
}

std::string others(const FitOutcome& outcome) { return outcome.view().d > 1 ? "other inputs at their means" : ""; }

std::string fitted_chart(const FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, fit.spec.columns);
  if (walk.column < 0 || fit.spec.family == stats::Family::kMultinomial) return "";
  const auto view = outcome.view();
  LineChart chart;
  chart.title = "Fitted lines over the data", chart.note = others(outcome), chart.x_label = walk.name, chart.legend = true;
  const auto experts = static_cast<size_t>(fit.spec.experts);
  std::vector<Series> points(experts);
  std::vector<double> posterior(experts);
  for (const int64_t i : sampled_rows(view.n)) {
    stats::log_density(fit.spec, fit.parameters, view.x + i * view.d, view.y[i], posterior.data());
    auto& series = points[static_cast<size_t>(std::max_element(posterior.begin(), posterior.end()) - posterior.begin())];
    series.x.push_back(view.x[i * view.d + walk.column]), series.y.push_back(view.y[i]);
  }
  for (size_t k = 0; k < experts; ++k) {
    points[k].name = fmt::format("rows of expert {}", k + 1), points[k].colour = static_cast<int>(k), points[k].points = true;
    chart.series.push_back(points[k]);
  }
  Series mean{"mean of the mixture", kPaletteSize - 2, true, walk.at, {}};
  std::vector<Series> lines(experts);
  for (const auto& x : walk.x) {
    const auto at = stats::predict(fit.spec, fit.parameters, x.data(), 0.9);
    mean.y.push_back(at.mean);
    for (size_t k = 0; k < experts; ++k) lines[k].y.push_back(at.expert[k]);
  }
  for (size_t k = 0; k < experts; ++k) {
    lines[k].name = fmt::format("expert {}", k + 1), lines[k].colour = static_cast<int>(k), lines[k].x = walk.at;
    chart.series.push_back(lines[k]);
  }
  chart.series.push_back(mean);
  return line_chart(chart);
}

std::string class_chart(const FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, {});
  if (walk.column < 0 || fit.spec.family != stats::Family::kMultinomial) return "";
  LineChart chart;
  chart.title = "Class probabilities", chart.note = others(outcome), chart.x_label = walk.name, chart.legend = true,
  chart.unit = Unit::kPercent;
  for (int64_t s = 0; s < fit.spec.classes; ++s) {
    Series series{outcome.model.schema.classes[static_cast<size_t>(s)], static_cast<int>(s), false, walk.at, {}};
    for (const auto& x : walk.x)
      series.y.push_back(std::exp(stats::log_density(fit.spec, fit.parameters, x.data(), static_cast<double>(s))));
    chart.series.push_back(series);
  }
  return line_chart(chart);
}

std::string gate_chart(const FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, fit.spec.gate.columns);
  if (walk.column < 0) return "";
  LineChart chart;
  chart.title = "Gate probabilities", chart.note = others(outcome), chart.x_label = walk.name, chart.legend = true,
  chart.unit = Unit::kPercent;
  std::vector<double> gates(static_cast<size_t>(fit.spec.experts));
  for (size_t k = 0; k < gates.size(); ++k)
    chart.series.push_back({fmt::format("expert {}", k + 1), static_cast<int>(k), false, walk.at, {}});
  for (const auto& x : walk.x) {
    stats::log_gates(fit.spec, fit.parameters, x.data(), gates.data());
    for (size_t k = 0; k < gates.size(); ++k) chart.series[k].y.push_back(std::exp(gates[k]));
  }
  return line_chart(chart);
}

std::string responsibility_chart(const FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, {});
  if (walk.column < 0) return "";
  const auto view = outcome.view();
  LineChart chart;
  chart.title = "Responsibilities", chart.note = "posterior probability of each expert, per row", chart.x_label = walk.name;
  chart.legend = true, chart.unit = Unit::kPercent;
  std::vector<double> posterior(static_cast<size_t>(fit.spec.experts));
  for (size_t k = 0; k < posterior.size(); ++k)
    chart.series.push_back({fmt::format("expert {}", k + 1), static_cast<int>(k), false, {}, {}, true});
  for (const int64_t i : sampled_rows(view.n)) {
    stats::log_density(fit.spec, fit.parameters, view.x + i * view.d, view.y[i], posterior.data());
    for (size_t k = 0; k < posterior.size(); ++k) {
      chart.series[k].x.push_back(view.x[i * view.d + walk.column]), chart.series[k].y.push_back(posterior[k]);
    }
  }
  return line_chart(chart);
}

std::string trace_chart(const FitOutcome& outcome) {
  LineChart chart;
  chart.title = "Log-likelihood", chart.note = "of the best start, after each iteration", chart.x_label = "iteration";
  Series series{"penalised log-likelihood", 0, false, {}, {}};
  const auto& trace = outcome.model.fit.trace;
  const size_t every = std::max<size_t>(1, trace.size() / 200);
  for (size_t i = 0; i < trace.size(); i += every) series.x.push_back(static_cast<double>(i + 1)), series.y.push_back(trace[i]);
  if (series.x.size() < 2) return "";
  chart.series.push_back(series);
  return line_chart(chart);
}

std::string criteria_chart(const FitOutcome& outcome) {
  if (outcome.candidates.size() < 2) return "";
  LineChart chart;
  chart.title = "Criteria", chart.note = "smaller is better", chart.x_label = "experts", chart.legend = true;
  chart.whole_x = true, chart.chosen_x = static_cast<double>(outcome.candidates[outcome.best].experts);
  chart.series = {{"AIC", 0, false, {}, {}}, {"BIC", 1, false, {}, {}}, {"ICL", 2, false, {}, {}}};
  for (const auto& c : outcome.candidates) {
    const double values[] = {c.criteria.aic, c.criteria.bic, c.criteria.icl};
    for (size_t i = 0; i < 3; ++i) chart.series[i].x.push_back(static_cast<double>(c.experts)), chart.series[i].y.push_back(values[i]);
  }
  return line_chart(chart);
}

std::string coefficient_section(const FitOutcome& outcome) {
  Table table;
  table.header = {"Part", "Coefficient", "Estimate", "Std. error", "Robust error", "z", "p"};
  table.text_columns = {1};
  for (const auto& row : coefficient_rows(outcome.model)) {
    table.rows.push_back({escape_html(row.part), escape_html(row.name), number(row.estimate), number(row.error), number(row.robust_error),
                          row.z ? fmt::format("{:.2f}", *row.z) : "–", row.p ? fmt::format("{:.2g}", *row.p) : "–"});
  }
  std::string lead = "Gates are against the last expert's, which is zero: adding one vector to all gates changes nothing.";
  for (const auto& term : outcome.model.schema.terms) {
    if (!term.levels.empty()) lead += fmt::format(" {}: against {}.", escape_html(term.name), escape_html(term.levels.front()));
  }
  if (!outcome.model.schema.classes.empty()) lead += fmt::format(" Classes: against {}.", escape_html(outcome.model.schema.classes.back()));
  std::string body;  // notes first: they say which of the numbers below to distrust
  for (const auto* list : {&outcome.model.fit.warnings, &outcome.model.inference.warnings}) {
    for (const auto& warning : *list) body += "<p><strong>Note.</strong> " + escape_html(warning) + "</p>";
  }
  body += render_table(table);
  return section("coefficients", "Coefficients", lead, body);
}

std::string comparison_section(const FitOutcome& outcome) {
  Table table;
  table.header = {"Experts", "Log-likelihood", "Parameters", "AIC", "BIC", "ICL"};
  const bool validated =
      std::any_of(outcome.candidates.begin(), outcome.candidates.end(), [](const auto& c) { return c.validation.has_value(); });
  if (validated) table.header.push_back("Held-out log density");
  for (size_t i = 0; i < outcome.candidates.size(); ++i) {
    const auto& c = outcome.candidates[i];
    table.rows.push_back({fmt::format("{}{}", c.experts,
                                      i == outcome.best ? std::string(" (chosen)")
                                      : c.degenerate    ? fmt::format(" (out: {})", stats::name_of(c.exclusion))
                                                        : std::string()),
                          fmt::format("{:.3f}", c.criteria.log_likelihood), fmt::format("{}", c.criteria.parameters),
                          fmt::format("{:.2f}", c.criteria.aic), fmt::format("{:.2f}", c.criteria.bic),
                          fmt::format("{:.2f}", c.criteria.icl)});
    if (validated)
      table.rows.back().push_back(c.validation ? fmt::format("{:.4f} ± {:.4f}", c.validation->mean, c.validation->error) : "–");
  }
  return section("comparison", "Comparison", "", render_table(table));
}

/// What the criterion said of the chosen size and of the best of the others: "2 experts by BIC (139 against 189 for 1)".
std::string choice_sentence(const FitOutcome& outcome, const std::string& criterion) {
  const auto& chosen = outcome.candidates[outcome.best];
  const std::string experts = fmt::format("{} expert{}", chosen.experts, chosen.experts == 1 ? "" : "s");
  if (outcome.candidates.size() < 2 || criterion.empty()) return experts + (outcome.candidates.size() < 2 ? ", the only size tried." : ".");
  const bool held_out = criterion == "cv";
  const auto value = [&](const FitCandidate& c) {
    if (held_out) return c.validation ? -c.validation->mean : kInfinity;
    return criterion == "aic" ? c.criteria.aic : criterion == "icl" ? c.criteria.icl : c.criteria.bic;
  };
  const FitCandidate* next = nullptr;
  for (const auto& c : outcome.candidates)
    if (&c != &chosen && !c.degenerate && (next == nullptr || value(c) < value(*next))) next = &c;
  std::string name = criterion;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (next == nullptr) return fmt::format("{}: in every other size an expert died.", experts);
  if (held_out)
    return fmt::format("{} by cross-validation (held-out log density {:.4f} against {:.4f} for {}).", experts, -value(chosen),
                       -value(*next), next->experts);
  return fmt::format("{} by {} ({:.1f} against {:.1f} for {}).", experts, name, value(chosen), value(*next), next->experts);
}

/// Rows by their most probable expert: "1: 50, 2: 100".
std::string rows_per_expert(const FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto view = outcome.view();
  std::vector<int64_t> counts(static_cast<size_t>(fit.spec.experts), 0);
  std::vector<double> posterior(counts.size());
  for (int64_t i = 0; i < view.n; ++i) {
    stats::log_density(fit.spec, fit.parameters, view.x + i * view.d, view.y[i], posterior.data());
    ++counts[static_cast<size_t>(std::max_element(posterior.begin(), posterior.end()) - posterior.begin())];
  }
  std::string text;
  for (size_t k = 0; k < counts.size(); ++k) text += fmt::format("{}{}: {}", k == 0 ? "" : ", ", k + 1, counts[k]);
  return text;
}

std::string chart_sections(const FitOutcome& outcome, const MixtureReport& about) {
  const std::string first = fitted_chart(outcome) + class_chart(outcome);
  const std::string charts = gate_chart(outcome) + responsibility_chart(outcome) + criteria_chart(outcome) + trace_chart(outcome);
  const std::string sentence =
      "<div class=\"headline\"><p class=\"first\">" + escape_html(choice_sentence(outcome, about.criterion)) + "</p>";
  std::string html =
      section("headline", "In short", "", sentence + (first.empty() ? "" : "<div class=\"grid\">" + first + "</div>") + "</div>");
  html += coefficient_section(outcome) + comparison_section(outcome);
  return html + section("charts", "Plots", "", charts.empty() ? "" : "<div class=\"grid\">" + charts + "</div>");
}

std::string fact(const std::string& name, const std::string& value) {
  return value.empty() ? "" : fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name, escape_html(value));
}

}  // namespace

std::string render_mixture_report(const FitOutcome& outcome, const MixtureReport& about) {
  const auto& fit = outcome.model.fit;
  const std::string title =
      fmt::format("{} by {} expert{}", outcome.model.schema.response, fit.spec.experts, fit.spec.experts == 1 ? "" : "s");
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escape_html(title) + "</title>";
  html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">";
  html += kReportPolicy;
  html += std::string("<style>") + kReportCss + "</style></head><body><main>\n";
  html += "<header><p class=\"kind\">Fitted mixture</p><h1>" + escape_html(title) + "</h1><dl class=\"facts\">";
  html += fact("Model", fmt::format("{} gate, {} experts", stats::name_of(fit.spec.gate.kind), stats::name_of(fit.spec.family)));
  html += fact("Rows", fmt::format("{}{}", fit.n,
                                   outcome.frame.dropped > 0 ? fmt::format(" ({} left out: missing values)", outcome.frame.dropped) : ""));
  html += fact("Rows by most probable expert", rows_per_expert(outcome));
  html +=
      fact("Log-likelihood", fmt::format("{:.4f}", fit.log_likelihood)) + fact("Command", about.command) + fact("Machine", about.machine);
  html += fact("Date", about.date) + "</dl></header>\n";
  html += chart_sections(outcome, about);
  html += "</main><footer><p>Written by Gatewright " GW_VERSION ".</p></footer>";
  return html + "<script>" + kReportScript + "</script></body></html>\n";
}

void write_mixture_report(const std::string& path, const FitOutcome& outcome, const MixtureReport& about) {
  write_atomic(path, render_mixture_report(outcome, about));
}

}  // namespace gw
