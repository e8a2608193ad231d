#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/directions.h"
#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/separation.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;

constexpr double kOutside =
    1e-4;  // squared share of a parameter in undetermined directions above which it has no error
constexpr double kNoScatter =
    1e-10;  // variance of the scores over their information, below which rows tell nothing about the former

/// A parameter held at a bound has no distribution around it.
std::vector<bool> held(const FitResult& fit, const std::vector<FreeParameter>& list) {
  std::vector<bool> result;
  const auto shape = fit.spec.family->shape();
  for (const auto& free : list) {
    const bool bounded = free.kind == Kind::kFreedom;
    const double value = bounded ? fit.parameters.freedom[static_cast<size_t>(free.expert)] : 0;
    result.push_back(bounded && (value <= shape->held_below || value >= shape->held_above));
  }
  return result;
}

/// Which parameters, in the units of the data, take part in any of the directions.
std::vector<bool> taking_part(const Matrix& map, const std::vector<std::vector<double>>& directions,
                              size_t size) {
  std::vector<bool> result(size, false);
  for (const auto& direction : directions) {
    for (size_t i = 0; i < size; ++i) {
      double part = 0, whole = 0;
      for (size_t j = 0; j < size; ++j)
        part += map[i * size + j] * direction[j], whole += map[i * size + j] * map[i * size + j];
      if (part * part > kOutside * whole) result[i] = true;
    }
  }
  return result;
}

std::string described(const MixtureSpec& spec, const FreeParameter& free,
                      const std::vector<std::string>& names) {
  const bool gate = free.kind == Kind::kGateBias || free.kind == Kind::kGateSlope;
  std::string text = fmt::format("{} {}", gate ? "gate" : "expert", free.expert + 1);
  if (!gate && spec.family->classes()) text += fmt::format(", class {}", free.output + 1);
  const auto column = static_cast<size_t>(free.column);
  return text + " " +
         (free.column < 0         ? "(intercept)"
          : column < names.size() ? names[column]
                                  : fmt::format("column {}", column + 1));
}

void warn(const MixtureSpec& spec, const std::vector<bool>& rising, const std::vector<bool>& missing,
          const std::vector<std::string>& names, const std::optional<Separation>& exact, Inference& result) {
  const std::string how =
      !exact ? " as far as the likelihood at the estimate tells (decided exactly for one expert alone)"
      : exact->kind == Separation::Kind::kComplete ? " completely"
                                                   : " in part (quasi-complete separation)";
  for (const bool gates : {false, true}) {
    std::string list;
    for (size_t i = 0; i < rising.size(); ++i) {
      const auto& free = result.parameter[i];
      const bool gate = free.kind == Kind::kGateBias || free.kind == Kind::kGateSlope;
      if (rising[i] && linear_score(spec, free) && gate == gates)
        list += (list.empty() ? "" : "; ") + described(spec, free, names);
    }
    if (list.empty()) continue;
    result.warnings.push_back(
        fmt::format("the inputs separate the {0}{2}: the likelihood rises without bound, the ridge alone "
                    "holds these coefficients, which have no finite maximum and no standard errors: {1}; "
                    "fewer columns or fewer {0} give a maximum",
                    gates ? "experts" : "classes", list, gates ? "" : how));
  }
  size_t others = 0;
  for (size_t i = 0; i < missing.size(); ++i)
    others += missing[i] && !(rising[i] && linear_score(spec, result.parameter[i]));
  if (others > 0)
    result.warnings.push_back(
        fmt::format("{} of {} parameters are not determined by these data: no standard errors for them",
                    others, missing.size()));
}

/// Factor in natural units: the linear map, then the delta method for logarithms.
Matrix natural(const Matrix& map, const Matrix& factor, const Inference& result) {
  const size_t size = result.parameter.size();
  Matrix moved = product(map, factor, size);
  for (size_t i = 0; i < size * size; ++i) {
    if (result.parameter[i / size].logarithmic()) moved[i] *= result.estimate[i / size];
  }
  return moved;
}

void errors_from(Matrix& covariance, const std::vector<bool>& missing, const std::vector<double>& estimate,
                 std::vector<std::optional<double>>& errors) {
  remove_rows(covariance, missing);
  for (size_t i = 0; i < missing.size(); ++i) {
    const double error = std::sqrt(covariance[i * (missing.size() + 1)]);
    // Below the rounding of the estimate an error says nothing.
    const bool told = !missing[i] && std::isfinite(error) &&
                      error > std::numeric_limits<double>::epsilon() * std::abs(estimate[i]);
    errors.push_back(told ? std::optional(error) : std::nullopt);
  }
}

/// Sums on which only what has a distribution is left: parameters at a bound, taken as known, stand for
/// themselves alone.
Information free_sums(const FitResult& fit, const MixtureParameters& standard,
                      const std::vector<FreeParameter>& list, const std::vector<bool>& fixed,
                      const Design& design) {
  auto sums = information(fit.spec, standard, design);
  std::vector<bool> left_out = fixed;
  const size_t temperature = held_temperature(fit.spec, list);
  if (temperature < list.size()) left_out[temperature] = true, sums.gradient[temperature] = 0;
  for (auto* matrix : {&sums.curvature, &sums.robust_curvature}) {
    remove_rows(*matrix, left_out);
    for (size_t i = 0; i < fixed.size(); ++i) {
      if (fixed[i]) (*matrix)[i * (fixed.size() + 1)] = 1;
    }
  }
  for (size_t i = 0; i < fixed.size(); ++i) sums.gradient[i] = fixed[i] ? 0 : sums.gradient[i];
  return sums;
}

std::vector<bool> either(std::vector<bool> a, const std::vector<bool>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] = a[i] || b[i];
  return a;
}

/// Parameters whose scatter the rows do not show. A direction that rests on one row alone (a level with one
/// row) has a score of 0 there whatever the noise is: the sandwich takes that for certainty, and printed an
/// error of 1e-8. `factor`: of the inverse information.
std::vector<bool> without_scatter(const Matrix& factor, const Matrix& outer, const Matrix& natural_factor) {
  const auto size = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(outer.size()))));
  Matrix transposed(factor.size());
  for (size_t i = 0; i < factor.size(); ++i) transposed[i] = factor[i % size * size + i / size];
  const auto pairs =
      eigen_pairs(product(product(transposed, outer, size), factor, size), static_cast<int64_t>(size));
  std::vector<std::vector<double>> silent;
  for (size_t k = 0; k < size && pairs.values[k] < kNoScatter; ++k) {
    auto& direction = silent.emplace_back(size);
    for (size_t i = 0; i < size; ++i) direction[i] = pairs.vectors[i * size + k];
  }
  return taking_part(natural_factor, silent, size);
}

/// Undetermined directions in natural units.
std::vector<std::vector<double>> natural_directions(const Matrix& map, const Directions& directions,
                                                    const Inference& result) {
  const size_t size = result.parameter.size();
  std::vector<std::vector<double>> moved;
  for (const auto& direction : directions.undetermined) {
    auto& to = moved.emplace_back(size, 0.0);
    for (size_t i = 0; i < size; ++i) {
      const double unit = result.parameter[i].logarithmic() ? result.estimate[i] : 1;
      for (size_t j = 0; j < size; ++j) to[i] += unit * map[i * size + j] * direction[j];
    }
  }
  return moved;
}

/// Estimates in natural units: of a scale and its like themselves, not their logarithms.
std::vector<double> natural_estimates(const FitResult& fit, const std::vector<FreeParameter>& list) {
  auto values = to_vector(fit.spec, fit.parameters);
  for (size_t i = 0; i < values.size(); ++i) {
    if (list[i].logarithmic()) values[i] = std::exp(values[i]);
  }
  return values;
}

/// Where the sums of separated classes have all but reached their limit: classes are the last parameters.
std::vector<double> towards_limit(std::vector<double> at, const std::optional<Separation>& exact) {
  if (exact && !exact->to_limit.empty())
    std::transform(exact->to_limit.rbegin(), exact->to_limit.rend(), at.rbegin(), at.rbegin(), std::plus<>());
  return at;
}

}  // namespace

Inference infer(const FitResult& fit, const DataView& data, const std::vector<std::string>& column_names) {
  Inference result;
  result.parameter = free_parameter_list(fit.spec, data.d);
  const size_t size = result.parameter.size();
  result.estimate = natural_estimates(fit, result.parameter);
  const Design design(data, fit.spec, column_names);
  const auto standard = design.to_standard(fit.parameters);
  const auto fixed = held(fit, result.parameter);
  const auto map = to_data_map(fit.spec, standard, design);
  const auto exact = exact_separation(fit.spec, design);
  const auto at = towards_limit(to_vector(fit.spec, standard), exact);
  const auto sums_at = [&](const std::vector<double>& vector) {
    return free_sums(fit, from_vector(fit.spec, data.d, vector), result.parameter, fixed, design);
  };
  const auto sums = sums_at(at);
  const auto for_robust = [](Information both) {
    std::swap(both.curvature, both.robust_curvature);
    return both;
  };
  const auto robust_at = [&](const std::vector<double>& vector) { return for_robust(sums_at(vector)); };
  const auto plain = directions_of(fit, result.parameter, at, design, sums, sums_at, exact);
  const auto* law = fit.spec.family->location_scale();
  const bool kinked = law != nullptr && law->kink() != 0;
  const auto bread =
      kinked ? directions_of(fit, result.parameter, at, design, for_robust(sums), robust_at, exact) : plain;
  const auto missing = either(taking_part(map, plain.undetermined, size), fixed);
  result.factor = natural(map, plain.factor, result);
  result.covariance = product_transposed(result.factor, result.factor, size);
  const auto crust = natural(map, bread.factor, result);
  const auto inverse = product_transposed(crust, bread.factor, size);
  result.robust_covariance = product_transposed(product(inverse, sums.outer, size), inverse, size);
  const auto robust_missing = either(either(taking_part(map, bread.undetermined, size), missing),
                                     without_scatter(bread.factor, sums.outer, crust));
  errors_from(result.covariance, missing, result.estimate, result.error);
  errors_from(result.robust_covariance, robust_missing, result.estimate, result.robust_error);
  result.undetermined = natural_directions(map, plain, result);
  warn(fit.spec, taking_part(map, rising_of(plain), size), missing, column_names, exact, result);
  return result;
}

}  // namespace gw::likelihood
