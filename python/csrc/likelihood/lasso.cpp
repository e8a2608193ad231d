#include "gatewright/likelihood/lasso.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "python/csrc/likelihood/fit_options.h"
#include "python/csrc/likelihood/model.h"
#include "python/csrc/likelihood/running.h"

namespace py = pybind11;

namespace gw::python {
namespace {

using likelihood::DataView;
using likelihood::FreeParameter;
using likelihood::LassoFit;

constexpr int64_t kMostParameters = 4000;  // a model file holds squares of this number

/// Slopes that are not zero, and what has no penalty: gate biases but one, intercepts, scales.
int64_t parameters_of(const LassoFit& fit) {
  return fit.gate_slopes + fit.expert_slopes + 3 * fit.parameters.experts - 1;
}

double criterion_of(const LassoFit& fit, const std::string& name, int64_t n) {
  const auto count = static_cast<double>(parameters_of(fit));
  return -2 * fit.log_likelihood + count * (name == "aic" ? 2 : std::log(static_cast<double>(n)));
}

/// Columns with a slope, of `count` rows of slopes.
std::vector<int64_t> active_columns(const std::vector<double>& slope, int64_t columns) {
  std::vector<int64_t> active;
  for (int64_t j = 0; j < columns; ++j) {
    bool used = false;
    for (size_t at = static_cast<size_t>(j); at < slope.size(); at += static_cast<size_t>(columns))
      used = used || slope[at] != 0;
    if (used) active.push_back(j);
  }
  return active;
}

std::vector<double> taken(const std::vector<double>& slope, int64_t columns,
                          const std::vector<int64_t>& active) {
  std::vector<double> result;
  for (size_t row = 0; row < slope.size(); row += static_cast<size_t>(columns)) {
    for (const int64_t j : active) result.push_back(slope[row + static_cast<size_t>(j)]);
  }
  return result;
}

/// The terms that have a column in use, and where each column of the whole table is in theirs (-1: nowhere).
Schema reduced(const Schema& all, const std::vector<int64_t>& used, std::vector<int64_t>& place) {
  Schema schema{all.response, {}, {}};
  int64_t next = 0, kept = 0;
  for (const auto& term : all.terms) {
    const auto width = std::max<int64_t>(1, static_cast<int64_t>(term.levels.size()) - 1);
    const bool in =
        std::any_of(used.begin(), used.end(), [&](int64_t j) { return j >= next && j < next + width; });
    for (int64_t i = 0; i < width; ++i) place.push_back(in ? kept++ : -1);
    if (in) schema.terms.push_back(term);
    next += width;
  }
  return schema;
}

/// What is shrunk has no standard errors. One direction says that all levels are free, so that no mean has an
/// error either.
likelihood::Inference without_errors(const likelihood::FitResult& fit) {
  likelihood::Inference result;
  result.parameter = likelihood::free_parameter_list(fit.spec, fit.d);
  const size_t size = result.parameter.size();
  GW_CHECK(static_cast<int64_t>(size) <= kMostParameters,
           "lasso: expected at most {} parameters beside zeros, got {}; raise the penalty", kMostParameters,
           size);
  result.estimate = likelihood::to_vector(fit.spec, fit.parameters);
  std::vector<double> levels(size, 0.0);
  for (size_t i = 0; i < size; ++i) {
    if (result.parameter[i].logarithmic()) result.estimate[i] = std::exp(result.estimate[i]);
    levels[i] = result.parameter[i].kind == FreeParameter::Kind::kIntercept ? 1 : 0;
  }
  result.error.resize(size), result.robust_error.resize(size);
  result.covariance.assign(size * size, 0), result.robust_covariance = result.factor = result.covariance;
  result.undetermined.push_back(std::move(levels));
  return result;
}

/// The fit as a mixture of the columns that it uses. `columns`: their places in the whole table.
likelihood::MixtureModel model_of(const LassoFit& fit, const DataView& data, const Schema& all,
                                  std::vector<int64_t>& columns) {
  const auto& p = fit.parameters;
  const auto gates = active_columns(p.gate_slope, data.d), experts = active_columns(p.slope, data.d);
  std::vector<int64_t> used = gates, place;
  used.insert(used.end(), experts.begin(), experts.end());
  likelihood::MixtureModel model;
  model.schema = reduced(all, used, place);
  const auto moved = [&](std::vector<int64_t> from) {
    for (auto& j : from) j = place[static_cast<size_t>(j)];
    return from;
  };
  for (int64_t j = 0; j < data.d; ++j)
    if (place[static_cast<size_t>(j)] >= 0) columns.push_back(j);
  auto& result = model.fit;
  result.spec.experts = p.experts;
  result.spec.gate.columns = moved(gates), result.spec.columns = moved(experts);
  result.parameters = p;
  result.parameters.gate_inputs = static_cast<int64_t>(gates.size());
  result.parameters.inputs = static_cast<int64_t>(experts.size());
  result.parameters.gate_slope = taken(p.gate_slope, data.d, gates);
  result.parameters.slope = taken(p.slope, data.d, experts);
  result.log_likelihood = fit.log_likelihood, result.iterations = fit.iterations;
  result.converged = fit.converged, result.trace = fit.trace;
  result.n = data.n, result.d = static_cast<int64_t>(columns.size());
  result.weight = static_cast<double>(data.n);
  model.inference = without_errors(result);
  return model;
}

/// Zeros are not charged for.
likelihood::Criteria criteria_of(const LassoFit& fit, const likelihood::FitResult& result,
                                 const DataView& data, const std::vector<int64_t>& columns) {
  std::vector<double> x;
  for (int64_t i = 0; i < data.n; ++i)
    for (const int64_t j : columns) x.push_back(data.x[i * data.d + j]);
  auto c =
      likelihood::criteria(result, {data.n, static_cast<int64_t>(columns.size()), x.data(), data.y, nullptr});
  c.parameters = parameters_of(fit);
  c.aic = criterion_of(fit, "aic", data.n), c.bic = criterion_of(fit, "bic", data.n);
  c.icl = c.bic + 2 * c.entropy;
  return c;
}

struct Found {
  std::vector<LassoFit> path;
  size_t best = 0;
  std::vector<int64_t> columns;
  likelihood::MixtureModel model;
};

Found search(const DataView& data, const Schema& schema, LassoFields& fields, uint64_t seed,
             const Stop& stop) {
  fields.options.stop = stop;
  likelihood::MixtureSpec spec;
  spec.experts = fields.experts;
  const double largest = likelihood::largest_penalty(data, spec, fields.options);
  // One penalty is the end of a path down to it: what a search from nothing finds there is worse.
  const bool chosen = fields.penalty == 0;
  const double ratio = chosen ? fields.ratio : fields.penalty / largest;
  const auto grid = ratio < 1 ? likelihood::penalty_grid(largest, ratio, fields.penalties)
                              : std::vector<double>{fields.penalty};
  Found found;
  found.path = likelihood::lasso_path(data, spec, grid, seed, fields.options);
  const auto value = [&](const LassoFit& fit) { return criterion_of(fit, fields.criterion, data.n); };
  const auto best = std::min_element(found.path.begin(), found.path.end(),
                                     [&](const auto& a, const auto& b) { return value(a) < value(b); });
  found.best = chosen ? static_cast<size_t>(best - found.path.begin()) : found.path.size() - 1;
  const auto& fit = found.path[found.best];
  found.model = model_of(fit, data, schema, found.columns);
  found.model.criteria = criteria_of(fit, found.model.fit, data, found.columns);
  return found;
}

py::list path_of(const Found& found, const std::string& criterion, int64_t n) {
  py::list rows;
  for (const auto& fit : found.path) {
    py::dict one;
    one["penalty"] = fit.lambda, one["log_likelihood"] = fit.log_likelihood;
    one["gate_slopes"] = fit.gate_slopes, one["expert_slopes"] = fit.expert_slopes;
    one[criterion.c_str()] = criterion_of(fit, criterion, n);
    one["iterations"] = fit.iterations, one["converged"] = fit.converged, one["kkt_gap"] = fit.kkt_gap;
    rows.append(one);
  }
  return rows;
}

py::tuple lasso(const Array& x, const Array& y, const std::string& schema_text, const std::string& options,
                uint64_t seed, int64_t threads) {
  LassoFields fields;
  parse_options("lasso", parse_json(options, "options"), fields);
  const auto schema = schema_from_json(parse_json(schema_text, "schema"), "schema");
  const auto data = view_of(x, &y, nullptr, static_cast<int64_t>(schema.columns().size()));
  Found found;
  run_apart(threads, [&](const Stop& stop) { found = search(data, schema, fields, seed, stop); });
  std::vector<std::string> notes;
  if (!found.path[found.best].converged)
    notes.push_back("no convergence: the estimates are not the minimum yet; allow more iterations");
  return py::make_tuple(Model{found.model, notes, {}, found.model.fit.trace}, found.columns, found.best,
                        path_of(found, fields.criterion, data.n));
}

}  // namespace

void bind_lasso(py::module_& module) {
  module.def("lasso", &lasso, py::arg("x"), py::arg("y"), py::arg("schema"), py::arg("options"),
             py::arg("seed"), py::arg("threads"));
}

}  // namespace gw::python
