// Charts of a fitted mixture, and the few numbers that the page says in words.
#include "gatewright/report/mixture_charts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/predict.h"
#include "gatewright/report/charts.h"

namespace gw::inline report {
namespace {

constexpr int64_t kMostPoints = 500, kLinePoints = 120;
constexpr double kLevel = 0.9, kLeastGate = 0.01;
constexpr double kFarthest = 9;  // standard deviations: rows beyond are drawn at the edge
constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

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

Walk walk_along(const likelihood::FitOutcome& outcome, const std::optional<std::vector<int64_t>>& allowed) {
  const auto view = outcome.view();
  Walk walk;
  const auto& schema = outcome.frame.schema;
  for (const int64_t column : schema.numeric_columns()) {
    const bool usable = !allowed || std::find(allowed->begin(), allowed->end(), column) != allowed->end();
    if (walk.column < 0 && usable)
      walk.column = column, walk.name = schema.columns()[static_cast<size_t>(column)];
  }
  if (walk.column < 0) return walk;
  std::vector<double> mean(static_cast<size_t>(view.d), 0.0);
  double low = kInfinity, high = -kInfinity;
  for (int64_t i = 0; i < view.n; ++i) {
    for (int64_t j = 0; j < view.d; ++j)
      mean[static_cast<size_t>(j)] += view.x[i * view.d + j] / static_cast<double>(view.n);
    low = std::min(low, view.x[i * view.d + walk.column]),
    high = std::max(high, view.x[i * view.d + walk.column]);
  }
  for (int64_t i = 0; i < kLinePoints; ++i) {
    mean[static_cast<size_t>(walk.column)] = low + (high - low) * static_cast<double>(i) / (kLinePoints - 1);
    walk.at.push_back(mean[static_cast<size_t>(walk.column)]);
    walk.x.push_back(mean);
  }
  return walk;
}

std::string others(const likelihood::FitOutcome& outcome) {
  return outcome.view().d > 1 ? "other inputs at their means" : "";
}

/// The likeliest expert before y is known.
size_t side_at(const likelihood::FitOutcome& outcome, const std::vector<double>& x) {
  const auto& fit = outcome.model.fit;
  std::vector<double> gates(static_cast<size_t>(fit.spec.experts));
  likelihood::log_gates(fit.spec, fit.parameters, x.data(), gates.data());
  return static_cast<size_t>(std::max_element(gates.begin(), gates.end()) - gates.begin());
}

/// The rows as points, each with the expert that it most likely belongs to now that y is known.
std::vector<Series> rows_by_expert(const likelihood::FitOutcome& outcome, const Walk& walk) {
  const auto& fit = outcome.model.fit;
  const auto view = outcome.view();
  const auto experts = static_cast<size_t>(fit.spec.experts);
  std::vector<Series> points(experts);
  for (size_t k = 0; k < experts; ++k) {
    points[k].name = fmt::format("rows of expert {}", k + 1), points[k].colour = static_cast<int>(k),
    points[k].points = true;
  }
  std::vector<double> posterior(experts);
  for (const int64_t i : sampled_rows(view.n)) {
    likelihood::log_density(fit.spec, fit.parameters, view.x + i * view.d, view.y[i], posterior.data());
    auto& series =
        points[static_cast<size_t>(std::max_element(posterior.begin(), posterior.end()) - posterior.begin())];
    series.x.push_back(view.x[i * view.d + walk.column]), series.y.push_back(view.y[i]);
  }
  return points;
}

}  // namespace

std::string fitted_chart(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, fit.spec.columns);
  if (walk.column < 0 || fit.spec.family->classes()) return "";
  LineChart chart;
  chart.title = "Fitted lines over the data", chart.note = others(outcome), chart.x_label = walk.name,
  chart.legend = true;
  chart.band = Band{fmt::format("{:.0f} % of new rows", 100 * kLevel), kPaletteSize - 2, walk.at, {}, {}};
  const auto experts = static_cast<size_t>(fit.spec.experts);
  chart.series = rows_by_expert(outcome, walk);
  if (experts > 1)
    chart.note += fmt::format("{}an expert's line where its gate is above {:.0f} %",
                              chart.note.empty() ? "" : "; ", 100 * kLeastGate);
  Series mean{"mean of the mixture", kPaletteSize - 2, true, walk.at, {}};
  std::vector<Series> lines(experts);
  for (const auto& x : walk.x) {
    const auto at = likelihood::predict(fit.spec, fit.parameters, x.data(), kLevel, &outcome.model.inference);
    mean.y.push_back(at.mean), chart.band->low.push_back(at.low), chart.band->high.push_back(at.high);
    for (size_t k = 0; k < experts; ++k) lines[k].y.push_back(at.gate[k] >= kLeastGate ? at.expert[k] : kGap);
  }
  for (size_t k = 0; k < experts; ++k) {
    lines[k].name = fmt::format("expert {}", k + 1), lines[k].colour = static_cast<int>(k),
    lines[k].x = walk.at;
    chart.series.push_back(lines[k]);
  }
  chart.series.push_back(mean);
  return line_chart(chart);
}

std::string class_chart(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, {});
  if (walk.column < 0 || !fit.spec.family->classes()) return "";
  LineChart chart;
  chart.title = "Class probabilities", chart.note = others(outcome), chart.x_label = walk.name,
  chart.legend = true, chart.unit = Unit::kPercent;
  for (int64_t s = 0; s < fit.spec.classes; ++s) {
    Series series{
        outcome.model.schema.classes[static_cast<size_t>(s)], static_cast<int>(s), false, walk.at, {}};
    for (const auto& x : walk.x)
      series.y.push_back(
          std::exp(likelihood::log_density(fit.spec, fit.parameters, x.data(), static_cast<double>(s))));
    chart.series.push_back(series);
  }
  return line_chart(chart);
}

std::string gate_chart(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, fit.spec.gate.columns);
  if (walk.column < 0) return "";
  LineChart chart;
  chart.title = "Gate probabilities", chart.note = others(outcome), chart.x_label = walk.name,
  chart.legend = true, chart.unit = Unit::kPercent;
  std::vector<double> gates(static_cast<size_t>(fit.spec.experts));
  for (size_t k = 0; k < gates.size(); ++k)
    chart.series.push_back({fmt::format("expert {}", k + 1), static_cast<int>(k), false, walk.at, {}});
  for (const auto& x : walk.x) {
    likelihood::log_gates(fit.spec, fit.parameters, x.data(), gates.data());
    for (size_t k = 0; k < gates.size(); ++k) chart.series[k].y.push_back(std::exp(gates[k]));
  }
  return line_chart(chart);
}

std::string responsibility_chart(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, {});
  if (walk.column < 0) return "";
  const auto view = outcome.view();
  LineChart chart;
  chart.title = "Responsibilities", chart.note = "posterior probability of each expert, per row",
  chart.x_label = walk.name;
  chart.legend = true, chart.unit = Unit::kPercent;
  std::vector<double> posterior(static_cast<size_t>(fit.spec.experts));
  for (size_t k = 0; k < posterior.size(); ++k)
    chart.series.push_back({fmt::format("expert {}", k + 1), static_cast<int>(k), false, {}, {}, true});
  for (const int64_t i : sampled_rows(view.n)) {
    likelihood::log_density(fit.spec, fit.parameters, view.x + i * view.d, view.y[i], posterior.data());
    for (size_t k = 0; k < posterior.size(); ++k) {
      chart.series[k].x.push_back(view.x[i * view.d + walk.column]),
          chart.series[k].y.push_back(posterior[k]);
    }
  }
  return line_chart(chart);
}

std::string trace_chart(const likelihood::FitOutcome& outcome) {
  LineChart chart;
  chart.title = "Log-likelihood", chart.note = "of the best start, after each iteration",
  chart.x_label = "iteration";
  Series series{"penalised log-likelihood", 0, false, {}, {}};
  const auto& trace = outcome.model.fit.trace;
  const size_t every = std::max<size_t>(1, trace.size() / 200);
  for (size_t i = 0; i < trace.size(); i += every)
    series.x.push_back(static_cast<double>(i + 1)), series.y.push_back(trace[i]);
  if (series.x.size() < 2) return "";
  chart.series.push_back(series);
  return line_chart(chart);
}

std::string criteria_chart(const likelihood::FitOutcome& outcome) {
  if (outcome.candidates.size() < 2) return "";
  LineChart chart;
  chart.title = "Criteria", chart.note = "smaller is better", chart.x_label = "experts", chart.legend = true;
  chart.whole_x = true, chart.chosen_x = static_cast<double>(outcome.candidates[outcome.best].experts);
  chart.series = {{"AIC", 0, false, {}, {}}, {"BIC", 1, false, {}, {}}, {"ICL", 2, false, {}, {}}};
  for (const auto& c : outcome.candidates) {
    const double values[] = {c.criteria.aic, c.criteria.bic, c.criteria.icl};
    for (size_t i = 0; i < 3; ++i)
      chart.series[i].x.push_back(static_cast<double>(c.experts)), chart.series[i].y.push_back(values[i]);
  }
  return line_chart(chart);
}

std::string residual_chart(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto walk = walk_along(outcome, {});
  if (walk.column < 0 || fit.spec.family->classes()) return "";
  const auto view = outcome.view();
  LineChart chart;
  chart.title = "Quantile residuals",
  chart.note = "where each row lies in its fitted distribution, as a normal score", chart.x_label = walk.name;
  chart.legend = true;
  chart.band = Band{"95 % of the rows, if the model holds",
                    kPaletteSize - 2,
                    {walk.at.front(), walk.at.back()},
                    {-1.96, -1.96},
                    {1.96, 1.96}};
  Series rows{"rows", 0, false, {}, {}, true};
  for (const int64_t i : sampled_rows(view.n)) {
    rows.x.push_back(view.x[i * view.d + walk.column]);
    rows.y.push_back(std::clamp(
        normal_quantile(likelihood::mixture_cdf(fit.spec, fit.parameters, view.x + i * view.d, view.y[i])),
        -kFarthest, kFarthest));
  }
  chart.series.push_back(rows);
  return line_chart(chart);
}

ExpertShares expert_shares(const likelihood::FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  const auto view = outcome.view();
  const auto experts = static_cast<size_t>(fit.spec.experts);
  ExpertShares shares{std::vector<int64_t>(experts, 0), std::vector<double>(experts, 0.0), 0};
  std::vector<double> posterior(experts);
  for (int64_t i = 0; i < view.n; ++i) {
    likelihood::log_density(fit.spec, fit.parameters, view.x + i * view.d, view.y[i], posterior.data());
    ++shares.rows[static_cast<size_t>(std::max_element(posterior.begin(), posterior.end()) -
                                      posterior.begin())];
    for (size_t k = 0; k < experts; ++k) {
      shares.responsibility[k] += posterior[k];
      if (posterior[k] > 0) shares.entropy -= posterior[k] * std::log(posterior[k]);
    }
  }
  if (experts > 1) shares.entropy /= static_cast<double>(view.n) * std::log(static_cast<double>(experts));
  return shares;
}

std::string change_words(const likelihood::FitOutcome& outcome) {
  constexpr size_t kMostPlaces = 3;
  const auto walk = walk_along(outcome, outcome.model.fit.spec.gate.columns);
  if (walk.column < 0 || outcome.model.fit.spec.experts < 2) return "";
  std::vector<std::string> places;
  for (size_t i = 0; i + 1 < walk.x.size(); ++i) {
    auto low = walk.x[i], high = walk.x[i + 1];
    const size_t before = side_at(outcome, low), after = side_at(outcome, high);
    if (before == after) continue;
    for (int halving = 0; halving < 40; ++halving) {
      auto middle = low;
      for (size_t j = 0; j < middle.size(); ++j) middle[j] = (low[j] + high[j]) / 2;
      (side_at(outcome, middle) == before ? low : high) = middle;
    }
    places.push_back(fmt::format("{:.3g}", low[static_cast<size_t>(walk.column)]));
  }
  if (places.empty() || places.size() > kMostPlaces) return "";
  const std::string rest = others(outcome);
  return fmt::format("along {} the side changes at {}{}", walk.name, fmt::join(places, ", "),
                     rest.empty() ? "" : " (" + rest + ")");
}

}  // namespace gw::inline report
