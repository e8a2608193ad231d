#include "observe/fit_mixtures.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace gw {
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

stats::DataView view_of(const Frame& frame) {
  const auto columns = static_cast<int64_t>(frame.schema.columns().size());
  return {frame.size(), columns, frame.x.data(), frame.y.data(), frame.weight.empty() ? nullptr : frame.weight.data()};
}

/// Terms that one side does not see must be seen by the other: a column that nobody uses is a misunderstanding.
void check_inputs(const Schema& schema, const FitRequest& request) {
  if (!request.gate_inputs || !request.expert_inputs) return;
  for (const auto& term : schema.terms) {
    const auto has = [&](const std::vector<std::string>& list) { return std::find(list.begin(), list.end(), term.name) != list.end(); };
    GW_CHECK(has(*request.gate_inputs) || has(*request.expert_inputs),
             "model: input \"{}\" is used neither by the gate nor by the experts; leave it out", term.name);
  }
}

void check_request(const FitRequest& request) {
  static const std::vector<std::string> kCriteria{"aic", "bic", "icl", "cv"};
  GW_CHECK(std::find(kCriteria.begin(), kCriteria.end(), request.criterion) != kCriteria.end(), "fit: unknown criterion \"{}\"{}",
           request.criterion, near_miss(request.criterion, kCriteria));
  GW_CHECK(request.criterion != "cv" || request.folds >= 2, "fit: criterion cv needs --folds of 2 or more, got {}", request.folds);
  GW_CHECK(request.least_experts >= 1 && request.least_experts <= request.most_experts,
           "fit: expected a range of experts from 1 up, got {}..{}", request.least_experts, request.most_experts);
}

}  // namespace

stats::DataView FitOutcome::view() const { return view_of(frame); }

FitOutcome fit_mixtures(const CsvTable& table, const FitRequest& request) {
  check_request(request);
  FitOutcome outcome;
  FrameOptions frame_options = request.frame;
  frame_options.classes = request.spec.family == stats::Family::kMultinomial;
  outcome.frame = make_frame(table, frame_options);
  const auto& schema = outcome.frame.schema;
  check_inputs(schema, request);
  stats::MixtureSpec spec = request.spec;
  spec.classes = std::max<int64_t>(2, static_cast<int64_t>(schema.classes.size()));
  if (request.gate_inputs) spec.gate.columns = schema.columns_of(*request.gate_inputs);
  if (request.expert_inputs) spec.columns = schema.columns_of(*request.expert_inputs);
  const auto view = outcome.view();
  stats::FitOptions options = request.options;
  options.column_names = schema.columns();
  stats::FitResult best;
  for (int64_t k = request.least_experts; k <= request.most_experts; ++k) {
    spec.experts = k;
    auto fitted = stats::fit(view, spec, request.seed, options);
    FitCandidate candidate{k, stats::criteria(fitted, view), {}, fitted.converged, fitted.degenerate, fitted.warnings};
    if (request.folds >= 2) candidate.validation = stats::cross_validate(view, spec, request.folds, request.seed, options);
    outcome.candidates.push_back(std::move(candidate));
    const bool better =
        outcome.candidates.size() == 1 || beats(outcome.candidates.back(), outcome.candidates[outcome.best], request.criterion);
    if (better) outcome.best = outcome.candidates.size() - 1, best = std::move(fitted);
    if (request.options.stop && request.options.stop()) break;
  }
  best.parameters = stats::reorder(best.spec, best.parameters, stats::canonical_order(best, view));
  outcome.model = {schema, best, stats::infer(best, view), stats::criteria(best, view)};
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

}  // namespace gw
