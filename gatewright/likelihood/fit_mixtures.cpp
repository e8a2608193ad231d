#include "gatewright/likelihood/fit_mixtures.h"

#include <algorithm>
#include <charconv>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/family.h"

namespace gw::likelihood {
namespace {

/// Smaller is better.
double value_of(const FitCandidate& candidate, const std::string& criterion) {
  if (criterion == "aic") return candidate.criteria.aic;
  if (criterion == "bic") return candidate.criteria.bic;
  if (criterion == "icl") return candidate.criteria.icl;
  return -candidate.validation->mean;
}

bool beats(const FitCandidate& a, const FitCandidate& b, const std::string& criterion) {
  return a.degenerate != b.degenerate ? b.degenerate : value_of(a, criterion) < value_of(b, criterion);
}

DataView view_of(const Frame& frame) {
  const auto columns = static_cast<int64_t>(frame.schema.columns().size());
  return {frame.size(), columns, frame.x.data(), frame.y.data(),
          frame.weight.empty() ? nullptr : frame.weight.data()};
}

/// Terms that one side does not see must be seen by the other: a column that nobody uses is a
/// misunderstanding.
void check_inputs(const Schema& schema, const FitRequest& request) {
  if (!request.gate_inputs || !request.expert_inputs) return;
  for (const auto& term : schema.terms) {
    const auto has = [&](const std::vector<std::string>& list) {
      return std::find(list.begin(), list.end(), term.name) != list.end();
    };
    GW_CHECK(has(*request.gate_inputs) || has(*request.expert_inputs),
             "model: input \"{}\" is used neither by the gate nor by the experts; leave it out", term.name);
  }
}

void check_request(const FitRequest& request) {
  static const std::vector<std::string> kCriteria{"aic", "bic", "icl", "cv"};
  GW_CHECK(std::find(kCriteria.begin(), kCriteria.end(), request.criterion) != kCriteria.end(),
           "fit: unknown criterion \"{}\"{}", request.criterion, near_miss(request.criterion, kCriteria));
  GW_CHECK(request.criterion != "cv" || request.folds >= 2,
           "fit: criterion cv needs folds of 2 or more, got {}", request.folds);
  GW_CHECK(request.folds != 1,
           "fit: expected folds of 0 (none) or 2 and more, got 1: one fold leaves no rows to fit");
  GW_CHECK(request.least_experts >= 1 && request.least_experts <= request.most_experts,
           "fit: expected a range of experts from 1 up, got {}..{}", request.least_experts,
           request.most_experts);
}

/// The largest size first: what cannot be fitted is refused before hours of smaller sizes.
void check_sizes(const FitRequest& request, const DataView& view) {
  GW_CHECK(request.most_experts <= 1000, "fit: expected at most 1000 experts, got {}", request.most_experts);
  GW_CHECK(request.most_experts <= view.n, "fit: expected no more experts than rows with weight ({}), got {}",
           view.n, request.most_experts);
}

/// Criteria charge for parameters by the sum of the weights: with weights that add up to 1, BIC charges
/// nothing and the largest size wins.
void check_weights(const FitRequest& request, const DataView& view) {
  constexpr double kFar = 2;
  const double unit = rows_per_weight(view);
  GW_CHECK(request.least_experts == request.most_experts || request.criterion == "cv" ||
               (unit <= kFar && unit >= 1 / kFar),
           "fit: {} compares sizes by the sum of the weights, expected near the number of rows ({}), got "
           "{:.3g}; scale the weights so that they "
           "add up to the rows, or compare by cv",
           request.criterion, view.n, static_cast<double>(view.n) / unit);
}

FitCandidate candidate_of(const FitResult& fitted, const DataView& view) {
  return {fitted.spec.experts, criteria(fitted, view), {},
          fitted.converged,    fitted.degenerate,      fitted.exclusion,
          fitted.refused,      fitted.at_best,         fitted.warnings};
}

}  // namespace

DataView FitOutcome::view() const { return view_of(frame); }

std::vector<std::string> notes_of(const FitOutcome& outcome) {
  const auto& fit = outcome.model.fit;
  std::vector<std::string> notes = fit.warnings;
  const auto& more = outcome.model.inference.warnings;
  notes.insert(notes.end(), more.begin(), more.end());
  if (!fit.refused.empty()) notes.push_back(fit.refused);
  for (const auto& c : outcome.candidates) {
    if (c.degenerate && c.experts != fit.spec.experts)
      notes.push_back(fmt::format("{} experts are out: {}", c.experts, name_of(c.exclusion)));
  }
  for (const auto& name : outcome.frame.unnamed)
    notes.push_back(
        fmt::format("column \"{}\" has no name of its own (row names?) and is left out; name it among the "
                    "inputs to use it",
                    name));
  if (outcome.frame.weightless > 0)
    notes.push_back(fmt::format("{} rows of weight 0 are left out", outcome.frame.weightless));
  if (fit.at_best > 0)
    notes.push_back(
        fmt::format("{} of {} starts ended at this maximum", fit.at_best, fit.start_likelihood.size()));
  return notes;
}

std::vector<std::vector<std::string>> size_rows(const FitOutcome& outcome, const std::string& criterion) {
  const auto& sizes = outcome.candidates;
  const bool held_out =
      std::any_of(sizes.begin(), sizes.end(), [](const FitCandidate& c) { return c.validation.has_value(); });
  std::vector<std::vector<std::string>> rows{
      {"experts", ">log-likelihood", ">parameters", ">AIC", ">BIC", ">ICL"}};
  if (held_out) rows[0].push_back(">held-out");
  rows[0].push_back("");
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto& c = sizes[i];
    const auto two = [](double value) { return fmt::format("{:.2f}", value); };
    rows.push_back({fmt::format("{}", c.experts), fmt::format("{:.4f}", c.criteria.log_likelihood),
                    fmt::format("{}", c.criteria.parameters), two(c.criteria.aic), two(c.criteria.bic),
                    two(c.criteria.icl)});
    if (held_out) rows.back().push_back(c.validation ? fmt::format("{:.4f}", c.validation->mean) : "");
    const std::string out = c.degenerate ? fmt::format("out: {}", name_of(c.exclusion)) : "";
    rows.back().push_back(i == outcome.best ? "chosen by " + criterion : out);
  }
  return rows;
}

FitOutcome fit_mixtures(const CsvTable& table, const FitRequest& request) {
  check_request(request);
  FrameOptions frame_options = request.frame;
  frame_options.classes = request.spec.family->classes();
  return fit_mixtures(make_frame(table, frame_options), request);
}

FitOutcome fit_mixtures(Frame frame, const FitRequest& request) {
  check_request(request);
  FitOutcome outcome;
  outcome.frame = std::move(frame);
  const auto& schema = outcome.frame.schema;
  check_inputs(schema, request);
  MixtureSpec spec = request.spec;
  spec.classes = std::max<int64_t>(2, static_cast<int64_t>(schema.classes.size()));
  if (request.gate_inputs) spec.gate.columns = schema.columns_of(*request.gate_inputs);
  if (request.expert_inputs) spec.columns = schema.columns_of(*request.expert_inputs);
  const auto view = outcome.view();
  check_sizes(request, view), check_weights(request, view);
  FitOptions options = request.options;
  options.column_names = schema.columns();
  FitResult best;
  for (int64_t k = request.least_experts; k <= request.most_experts; ++k) {
    spec.experts = k;
    auto fitted = fit(view, spec, request.seed, options);
    auto candidate = candidate_of(fitted, view);
    if (request.folds >= 2)
      candidate.validation = cross_validate(view, spec, request.folds, request.seed, options);
    outcome.candidates.push_back(std::move(candidate));
    const bool better = outcome.candidates.size() == 1 ||
                        beats(outcome.candidates.back(), outcome.candidates[outcome.best], request.criterion);
    if (better) outcome.best = outcome.candidates.size() - 1, best = std::move(fitted);
    if (request.options.stop.requested()) break;
  }
  best.parameters = reorder(best.spec, best.parameters, canonical_order(best, view));
  outcome.model = {schema, best, infer(best, view, schema.columns()), criteria(best, view)};
  return outcome;
}

std::pair<int64_t, int64_t> parse_range(const std::string& text) {
  const auto dots = text.find("..");
  const auto number = [&](std::string_view part) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    GW_CHECK(error == std::errc() && end == part.data() + part.size() && !part.empty(),
             "fit: expected a number of experts as 3 or 2..6, got \"{}\"", text);
    return value;
  };
  const std::string_view all(text);
  if (dots == std::string::npos) return {number(all), number(all)};
  return {number(all.substr(0, dots)), number(all.substr(dots + 2))};
}

}  // namespace gw::likelihood
