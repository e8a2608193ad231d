#include "gatewright/likelihood/design.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/ops/em.h"

namespace gw::likelihood {
namespace {

std::vector<int64_t> chosen(const std::optional<std::vector<int64_t>>& columns, int64_t d) {
  if (columns) return *columns;
  std::vector<int64_t> all(static_cast<size_t>(d));
  for (int64_t j = 0; j < d; ++j) all[static_cast<size_t>(j)] = j;
  return all;
}

struct Moments {
  double mean, scale;
};

/// Errors and their squares are taken in the units of the data: with columns and response within these
/// magnitudes none overflows.
constexpr double kMostMagnitude = 1e75, kLeastSpread = 1e-75;

template <class At>
void check_magnitude(const std::string& what, int64_t n, At at) {
  double low = at(0), high = at(0);
  for (int64_t i = 0; i < n; ++i) low = std::min(low, at(i)), high = std::max(high, at(i));
  const double largest = std::max(std::abs(low), std::abs(high)), spread = high - low;
  GW_CHECK(
      largest <= kMostMagnitude && (spread == 0 || spread >= kLeastSpread),
      "fit: expected {} within {:g} and spread over at least {:g}, got {:.6g} to {:.6g}; change its unit",
      what, kMostMagnitude, kLeastSpread, low, high);
}

Moments weighted_moments(const double* values, const double* weight, int64_t n, double total) {
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n; ++i) mean += weight[i] * values[i] / total;
  for (int64_t i = 0; i < n; ++i) square += weight[i] * (values[i] - mean) * (values[i] - mean) / total;
  return {mean, std::sqrt(square)};
}

}  // namespace

Design::Design(const DataView& data, const MixtureSpec& spec, const std::vector<std::string>& names)
    : rows(data.n), d(data.d), spec_(spec), names_(names) {
  check_spec(spec, data.d);
  check_data(data, spec);
  padded = (rows + ops::kEmLanes - 1) / ops::kEmLanes * ops::kEmLanes;
  storage_.reserve(static_cast<size_t>(2 * data.d + 2));
  auto& weights = storage_.emplace_back(static_cast<size_t>(padded), 0.0);
  int64_t used = 0;
  for (int64_t i = 0; i < rows; ++i) {
    weights[static_cast<size_t>(i)] = data.weight != nullptr ? data.weight[i] : 1;
    total_weight += weights[static_cast<size_t>(i)];
    used += weights[static_cast<size_t>(i)] > 0;
  }
  weight = weights.data();
  row_unit = rows_per_weight(data);
  const int64_t needed = spec.inputs(data.d) + 2;
  GW_CHECK(used >= needed,
           "fit: expected at least {} rows with weight for {} column{}, got {}; leave columns out", needed,
           data.d, data.d == 1 ? "" : "s", used);
  GW_CHECK(used >= spec.experts, "fit: expected no more experts than rows with weight ({}), got {}", used,
           spec.experts);
  standardise_response(data);
  for (const int64_t j : chosen(spec.columns, data.d)) inputs_.push_back(column(data, j, false, true));
  const bool transformed = spec.gate.kind->transforms(), centred = !spec.gate.kind->has_origin(spec.gate);
  for (const int64_t j : chosen(spec.gate.columns, data.d))
    gates_.push_back(column(data, j, transformed, centred));
  check_columns(inputs_, "experts'");
  check_columns(gates_, "gate's");
  for (const auto& c : inputs_) input.push_back(c.values);
  for (const auto& c : gates_) gate_input.push_back(c.values);
}

std::string Design::name_of(int64_t column) const {
  return static_cast<size_t>(column) < names_.size() ? "\"" + names_[static_cast<size_t>(column)] + "\""
                                                     : std::to_string(column + 1);
}

std::vector<Design::Unit> Design::units(const std::vector<Column>& columns) {
  std::vector<Unit> result;
  for (const auto& c : columns) result.push_back({c.mean, c.scale});
  return result;
}

void Design::standardise_response(const DataView& data) {
  auto& values = storage_.emplace_back(static_cast<size_t>(padded), 0.0);
  if (!spec_.family->classes()) {
    check_magnitude("the response", rows, [&](int64_t i) { return data.y[i]; });
    const auto moments = weighted_moments(data.y, weight, rows, total_weight);
    y_mean = moments.mean, y_scale = moments.scale;
    GW_CHECK(y_scale > 1e-13 * std::abs(y_mean) && y_scale > 0,
             "fit: the response is constant ({:.6g}): there is nothing to explain; is it the right column?",
             y_mean);
  } else {
    const bool differs = std::any_of(data.y, data.y + rows, [&](double value) { return value != data.y[0]; });
    GW_CHECK(differs, "fit: every row has class {}: there is nothing to explain; is it the right column?",
             data.y[0]);
  }
  for (int64_t i = 0; i < rows; ++i) values[static_cast<size_t>(i)] = (data.y[i] - y_mean) / y_scale;
  y = values.data();
}

const Design::Column& Design::column(const DataView& data, int64_t source, bool transformed, bool centred) {
  for (const auto& c : made_) {
    if (c.source == source && c.transformed == transformed && c.centred == centred) return c;
  }
  check_magnitude("column " + name_of(source), rows, [&](int64_t i) { return data.x[i * data.d + source]; });
  auto& values = storage_.emplace_back(static_cast<size_t>(padded), 0.0);
  for (int64_t i = 0; i < rows; ++i) {
    const double x = data.x[i * data.d + source];
    values[static_cast<size_t>(i)] = transformed ? spec_.gate.kind->transformed(spec_.gate, x) : x;
  }
  auto [mean, scale] = weighted_moments(values.data(), weight, rows, total_weight);
  GW_CHECK(scale > 1e-13 * std::abs(mean) && scale > 0,
           "fit: column {} is constant ({:.6g}{}): the intercept has its place; leave it out",
           name_of(source), mean, transformed ? " after the gate's transformation" : "");
  if (!centred) mean = 0;
  for (int64_t i = 0; i < rows; ++i)
    values[static_cast<size_t>(i)] = (values[static_cast<size_t>(i)] - mean) / scale;
  made_.push_back({source, transformed, centred, mean, scale, values.data()});
  return made_.back();
}

void Design::check_columns(const std::vector<Column>& columns, const char* who) const {
  const auto count = static_cast<int64_t>(columns.size()) + 1;
  const std::vector<double> ones(static_cast<size_t>(padded), 1.0);
  std::vector<const double*> pointers{ones.data()};
  for (const auto& c : columns) pointers.push_back(c.values);
  std::vector<double> moments(static_cast<size_t>(packed_size(count)), 0.0);
  ops::em_moments(weight, {pointers.data(), count, padded}, moments.data());
  const int64_t found = dependent_column(moments.data(), count);
  if (found < 1) return;
  fail(
      "fit: column {} is determined by the {} columns before it (collinear): its coefficients mean nothing; "
      "leave it out",
      name_of(columns[static_cast<size_t>(found - 1)].source), who);
}

// x = mean + scale·s and y = y_mean + y_scale·t, put into the linear predictors.
MixtureParameters Design::convert(const MixtureParameters& from, bool to_data) const {
  MixtureParameters p = from;
  const auto shift = [&](double* bias, double* slope, const std::vector<Column>& columns, double unit) {
    double offset = 0;
    for (size_t j = 0; j < columns.size(); ++j) {
      const auto& c = columns[j];
      if (!to_data) offset += slope[j] * c.mean / unit;
      slope[j] *= to_data ? unit / c.scale : c.scale / unit;
      if (to_data) offset -= slope[j] * c.mean;
    }
    return to_data ? *bias * unit + offset : *bias / unit + offset;
  };
  for (int64_t k = 0; k < p.experts; ++k) {
    // A linear score is divided by the temperature, its bias is not.
    double* slope = p.gate_slope.data() + k * p.gate_inputs;
    double& bias = p.gate_bias[static_cast<size_t>(k)];
    double zero = 0;
    bias += shift(&zero, slope, gates_, 1) / p.temperature;
    for (int64_t s = 0; s < p.outputs; ++s) {
      const int64_t row = k * p.outputs + s;
      double& intercept = p.intercept[static_cast<size_t>(row)];
      if (!to_data) intercept -= y_mean;
      intercept = shift(&intercept, p.slope.data() + row * p.inputs, inputs_, y_scale);
      if (to_data) intercept += y_mean;
    }
    if (spec_.family->scaled()) p.scale[static_cast<size_t>(k)] *= to_data ? y_scale : 1 / y_scale;
  }
  return p;
}

MixtureParameters Design::to_standard(const MixtureParameters& parameters) const {
  return convert(parameters, false);
}
MixtureParameters Design::to_data(const MixtureParameters& parameters) const {
  return convert(parameters, true);
}
double Design::log_jacobian() const { return -total_weight * std::log(y_scale); }

}  // namespace gw::likelihood
