#include "gatewright/report/mixture_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "gatewright/base/file.h"
#include "gatewright/report/html.h"
#include "gatewright/report/mixture_charts.h"
#include "gatewright/report/report_sections.h"

namespace gw::inline report {
namespace {

std::string number(double value) { return fmt::format("{:.5g}", value); }
std::string number(const std::optional<double>& value) { return value ? number(*value) : "–"; }

std::string coefficient_section(const likelihood::FitOutcome& outcome) {
  Table table;
  table.header = {"Part", "Coefficient", "Estimate", "Std. error", "Robust error", "df", "t", "p"};
  table.text_columns = {1};
  for (const auto& row : likelihood::coefficient_rows(outcome.model)) {
    table.rows.push_back(
        {escape_html(row.part), escape_html(row.name), number(row.estimate), number(row.error),
         number(row.robust_error), row.freedom ? fmt::format("{:.1f}", *row.freedom) : "–",
         row.t ? fmt::format("{:.2f}", *row.t) : "–", row.p ? fmt::format("{:.2g}", *row.p) : "–"});
  }
  std::string lead =
      "Gates are against the last expert's, which is zero: adding one vector to all gates changes nothing.";
  for (const auto& term : outcome.model.schema.terms) {
    if (!term.levels.empty())
      lead += fmt::format(" {}: against {}.", escape_html(term.name), escape_html(term.levels.front()));
  }
  if (!outcome.model.schema.classes.empty())
    lead += fmt::format(" Classes: against {}.", escape_html(outcome.model.schema.classes.back()));
  std::string body;  // notes first: they say which of the numbers below to distrust
  for (const auto& note : likelihood::notes_of(outcome))
    body += "<p><strong>Note.</strong> " + escape_html(note) + "</p>";
  body += render_table(table);
  return section("coefficients", "Coefficients", lead, body);
}

std::string comparison_section(const likelihood::FitOutcome& outcome) {
  Table table;
  table.header = {"Experts", "Log-likelihood", "Parameters", "AIC", "BIC", "ICL"};
  const bool validated = std::any_of(outcome.candidates.begin(), outcome.candidates.end(),
                                     [](const auto& c) { return c.validation.has_value(); });
  if (validated) table.header.push_back("Held-out log density");
  for (size_t i = 0; i < outcome.candidates.size(); ++i) {
    const auto& c = outcome.candidates[i];
    table.rows.push_back(
        {fmt::format("{}{}", c.experts,
                     i == outcome.best ? std::string(" (chosen)")
                     : c.degenerate    ? fmt::format(" (out: {})", likelihood::name_of(c.exclusion))
                                       : std::string()),
         fmt::format("{:.3f}", c.criteria.log_likelihood), fmt::format("{}", c.criteria.parameters),
         fmt::format("{:.2f}", c.criteria.aic), fmt::format("{:.2f}", c.criteria.bic),
         fmt::format("{:.2f}", c.criteria.icl)});
    if (validated)
      table.rows.back().push_back(
          c.validation ? fmt::format("{:.4f} ± {:.4f}", c.validation->mean, c.validation->error) : "–");
  }
  return section("comparison", "Comparison", "", render_table(table));
}

/// What the criterion said of the chosen size and of the best of the others: "2 experts by BIC (139 against
/// 189 for 1)".
std::string choice_sentence(const likelihood::FitOutcome& outcome, const std::string& criterion) {
  const auto& chosen = outcome.candidates[outcome.best];
  const std::string experts = fmt::format("{} expert{}", chosen.experts, chosen.experts == 1 ? "" : "s");
  if (outcome.candidates.size() < 2 || criterion.empty())
    return experts + (outcome.candidates.size() < 2 ? ", the only size tried." : ".");
  const bool held_out = criterion == "cv";
  const auto value = [&](const likelihood::FitCandidate& c) {
    if (held_out) return c.validation ? -c.validation->mean : kInfinity;
    return criterion == "aic" ? c.criteria.aic : criterion == "icl" ? c.criteria.icl : c.criteria.bic;
  };
  const likelihood::FitCandidate* next = nullptr;
  for (const auto& c : outcome.candidates)
    if (&c != &chosen && !c.degenerate && (next == nullptr || value(c) < value(*next))) next = &c;
  std::string name = criterion;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (next == nullptr)
    return fmt::format("{}: every other size is excluded: it has an empty expert.", experts);
  if (held_out)
    return fmt::format("{} by cross-validation (held-out log density {:.4f} against {:.4f} for {}).", experts,
                       -value(chosen), -value(*next), next->experts);
  return fmt::format("{} by {} ({:.1f} against {:.1f} for {}).", experts, name, value(chosen), value(*next),
                     next->experts);
}

/// Who explains how many rows, and how sure the model is of it.
std::string expert_table(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  if (fit.spec.experts < 2) return "";
  const auto shares = expert_shares(outcome);
  Table table;
  table.caption = "Rows by most probable expert";
  table.header = {"Expert", "Rows", "Sum of responsibilities"};
  for (size_t k = 0; k < shares.rows.size(); ++k)
    table.rows.push_back({fmt::format("{}", k + 1), fmt::format("{}", shares.rows[k]),
                          fmt::format("{:.1f}", shares.responsibility[k])});
  return render_table(table) +
         fmt::format(
             "<p class=\"lead\">Entropy of the responsibilities: {:.3f} of its largest value (0: every row "
             "belongs to one expert; 1: all rows belong to all alike).</p>",
             shares.entropy);
}

std::string headline(const likelihood::FitOutcome& outcome, const MixtureReport& about) {
  const std::string picture = fitted_chart(outcome) + class_chart(outcome), beside = expert_table(outcome);
  std::string sentence = choice_sentence(outcome, about.criterion);
  if (const std::string change = change_words(outcome); !change.empty())
    sentence.insert(sentence.size() - 1, "; " + change);
  std::string html = "<div class=\"headline\"><p class=\"first\">" + escape_html(sentence) + "</p>";
  if (!picture.empty() || !beside.empty())
    html += "<div class=\"grid\">" + picture + "<div>" + beside + "</div></div>";
  return section("headline", "In short", "", html + "</div>");
}

std::string plots(const likelihood::FitOutcome& outcome) {
  const std::string charts = gate_chart(outcome) + responsibility_chart(outcome) + residual_chart(outcome) +
                             criteria_chart(outcome) + trace_chart(outcome);
  return section("charts", "Plots", "", charts.empty() ? "" : "<div class=\"grid\">" + charts + "</div>");
}

std::string fact(const std::string& name, const std::string& value, bool code = false) {
  if (value.empty()) return "";
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name,
                     code ? "<code>" + escape_html(value) + "</code>" : escape_html(value));
}

std::string fact_list(const likelihood::FitOutcome& outcome, const MixtureReport& about) {
  const auto& fit = outcome.model.fit;
  const std::string dropped =
      outcome.frame.dropped > 0 ? fmt::format(" ({} left out: missing values)", outcome.frame.dropped) : "";
  std::string facts =
      fact("Model", fmt::format("{} gate, {} experts", likelihood::name_of(fit.spec.gate.kind),
                                likelihood::name_of(fit.spec.family)));
  facts += fact("Rows", fmt::format("{}{}", fit.n, dropped)) +
           fact("Log-likelihood", fmt::format("{:.4f}", fit.log_likelihood));
  facts += fact("Command", about.command, true) + fact("Machine", about.machine) + fact("Date", about.date);
  return "<dl class=\"facts\">" + facts + "</dl>\n";
}

}  // namespace

std::string render_mixture_report(const likelihood::FitOutcome& outcome, const MixtureReport& about) {
  const auto& fit = outcome.model.fit;
  const std::string title = fmt::format("{} by {} expert{}", outcome.model.schema.response, fit.spec.experts,
                                        fit.spec.experts == 1 ? "" : "s");
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
                     escape_html(title) + "</title>";
  html +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" "
      "content=\"light dark\">";
  html += kReportPolicy;
  html += std::string("<style>") + kReportCss + "</style></head><body><main>\n";
  html += "<header><p class=\"kind\">Fitted mixture</p><h1>" + escape_html(title) + "</h1></header>\n";
  html += headline(outcome, about) + fact_list(outcome, about) + coefficient_section(outcome) +
          comparison_section(outcome) + plots(outcome);
  html += "</main><footer><p>Written by Gatewright " GW_VERSION ".</p></footer>";
  return html + "<script>" + kReportScript + "</script></body></html>\n";
}

void write_mixture_report(const std::string& path, const likelihood::FitOutcome& outcome,
                          const MixtureReport& about) {
  write_atomic(path, render_mixture_report(outcome, about));
}

}  // namespace gw::inline report
