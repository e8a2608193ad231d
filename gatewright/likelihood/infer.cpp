#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/separation.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;

constexpr double kRank = 1e-10;  // smallest curvature of a determined direction, in units of its coordinates
constexpr double kOutside =
    1e-4;  // squared share of a parameter in undetermined directions above which it has no error
constexpr double kStillRises =
    0.1;  // change of a score by a Newton step; at a separation it is about 1, at a maximum below 1e-3
constexpr double kFurther =
    3;  // Newton steps along what rises, after which information that vanishes has fallen by e^-3 = 0.05
constexpr double kFarthest = 10;  // change of a score that a Newton step may make
constexpr double kNoScatter =
    1e-10;  // variance of the scores over their information, below which rows tell nothing about the former
constexpr double kVanishes =
    0.3;  // share of the information left there, below which a direction goes with what rises

bool linear_score(const MixtureSpec& spec, const FreeParameter& free) {
  const bool gate = free.kind == Kind::kGateBias || free.kind == Kind::kGateSlope;
  return gate || (spec.family == Family::kMultinomial &&
                  (free.kind == Kind::kIntercept || free.kind == Kind::kSlope));
}

/// A parameter held at a bound has no distribution around it.
std::vector<bool> held(const FitResult& fit, const std::vector<FreeParameter>& list) {
  std::vector<bool> result;
  for (const auto& free : list) {
    const double v =
        free.kind == Kind::kFreedom ? fit.parameters.freedom[static_cast<size_t>(free.expert)] : 10;
    result.push_back(free.kind == Kind::kFreedom && (v <= 1.001 || v >= kNormalFreedom));
  }
  return result;
}

void remove_rows(Matrix& matrix, const std::vector<bool>& remove) {
  const size_t size = remove.size();
  for (size_t i = 0; i < size * size; ++i) {
    if (remove[i / size] || remove[i % size]) matrix[i] = 0;
  }
}

/// With a linear score slope over temperature is all that counts. The temperature is held, and no information
/// is asked of it: away from the exact maximum the likelihood's second derivatives along the ratio's
/// direction hold a term of the gradient, which is not information (at 1e-8 of a maximum, errors of the bias
/// were off by 5e-6, and Student's t lost all of them). Returns its place; the size if there is none.
size_t held_temperature(const MixtureSpec& spec, const std::vector<FreeParameter>& list) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [](const FreeParameter& free) { return free.kind == Kind::kTemperature; });
  const bool linear =
      spec.gate.kind == GateKind::kDenseToSparse && spec.gate.activation == Activation::kIdentity;
  return linear ? static_cast<size_t>(found - list.begin()) : list.size();
}

/// The direction along which temperature and slopes grow alike, in place of the temperature alone.
void turn_to_ratio(const MixtureSpec& spec, const std::vector<FreeParameter>& list,
                   const std::vector<double>& at, std::vector<double>& direction) {
  const size_t temperature = held_temperature(spec, list);
  if (temperature == list.size()) return;
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].kind == Kind::kGateSlope) direction[i] += direction[temperature] * at[i];
  }
}

/// Coordinates of comparable curvature. Scores of gates and classes are in natural units as they stand, so
/// that a curvature that vanishes is seen; what experts of measured responses have is taken relative to
/// itself.
std::vector<double> scales_of(const FitResult& fit, const std::vector<FreeParameter>& list,
                              const Matrix& curvature) {
  std::vector<double> scale;
  for (size_t i = 0; i < list.size(); ++i) {
    const double own = curvature[i * (list.size() + 1)];
    const bool natural = linear_score(fit.spec, list[i]) || list[i].kind == Kind::kTemperature;
    scale.push_back(natural ? 1 / std::sqrt(fit.weight) : own > 0 ? 1 / std::sqrt(own) : 0);
  }
  return scale;
}

/// The largest change of a score of a gate or a class over the rows, for a step of the standardised
/// parameters.
double largest_change(const MixtureSpec& spec, const std::vector<FreeParameter>& list,
                      const std::vector<double>& step, const Design& design) {
  double largest = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!linear_score(spec, list[i]) || (list[i].kind != Kind::kGateBias && list[i].kind != Kind::kIntercept))
      continue;
    const auto& columns = list[i].kind == Kind::kGateBias ? design.gate_input : design.input;
    for (int64_t row = 0; row < design.rows; ++row) {
      if (design.weight[row] == 0) continue;
      double change = step[i];
      for (size_t j = 0; j < columns.size(); ++j) change += step[i + 1 + j] * columns[j][row];
      largest = std::max(largest, std::abs(change));
    }
  }
  return largest;
}

/// Directions of the standardised parameters, sorted into what the data determine and what they do not.
struct Directions {
  Matrix factor;  ///< J⁻¹ = factor factor' on the determined ones
  std::vector<std::vector<double>> undetermined;
  std::vector<bool> rising;  ///< for each of these: the likelihood rises along it
};

/// The eigenvectors of the scaled information as directions of the standardised parameters, `value` their
/// curvature.
struct Axes {
  std::vector<double> value;
  std::vector<std::vector<double>> direction;
  std::vector<double> rise;  ///< signed Newton step along it, 0 where that changes no score of a gate or a
                             ///< class by `kStillRises`
};

Axes axes_of(const FitResult& fit, const std::vector<FreeParameter>& list, const Matrix& curvature,
             const std::vector<double>& gradient, const Design& design) {
  const size_t size = list.size();
  const auto scale = scales_of(fit, list, curvature);
  Matrix scaled(size * size);
  for (size_t i = 0; i < size * size; ++i) scaled[i] = scale[i / size] * curvature[i] * scale[i % size];
  const auto pairs = eigen_pairs(scaled, static_cast<int64_t>(size));
  Axes axes{pairs.values, {}, {}};
  for (size_t k = 0; k < size; ++k) {
    auto& direction = axes.direction.emplace_back(size);
    double slope = 0;
    for (size_t i = 0; i < size; ++i) {
      direction[i] = (scale[i] > 0 ? scale[i] : 1) * pairs.vectors[i * size + k];
      slope += scale[i] * pairs.vectors[i * size + k] * gradient[i];
    }
    const double step = slope / std::max(std::abs(pairs.values[k]), std::numeric_limits<double>::min());
    const double change =
        std::isfinite(step) ? std::abs(step) * largest_change(fit.spec, list, direction, design) : 0;
    axes.rise.push_back(change > kStillRises ? step * std::min(1.0, kFarthest / change) : 0);
  }
  return axes;
}

using SumsAt = std::function<Information(const std::vector<double>&)>;

/// A few Newton steps further along all that rises: there, what rests on rows at the border alone has lost
/// its information.
std::vector<double> further(const Axes& axes, std::vector<double> at) {
  for (size_t k = 0; k < at.size(); ++k) {
    for (size_t i = 0; i < at.size(); ++i) at[i] += kFurther * axes.rise[k] * axes.direction[k][i];
  }
  return at;
}

bool finite(const Matrix& matrix) {
  return std::all_of(matrix.begin(), matrix.end(), [](double entry) { return std::isfinite(entry); });
}

/// An expert at its floor may have a curvature beyond the numbers: such parameters count as not determined.
void leave_out_overflow(Information& sums) {
  const size_t size = sums.gradient.size();
  std::vector<bool> beyond(size, false);
  for (size_t i = 0; i < size * size; ++i) {
    if (!std::isfinite(sums.curvature[i])) beyond[i / size] = true;
  }
  remove_rows(sums.curvature, beyond);
  for (size_t i = 0; i < size; ++i) {
    if (beyond[i] || !std::isfinite(sums.gradient[i])) sums.gradient[i] = 0;
  }
}

double curvature_along(const std::vector<double>& direction, const Matrix& curvature) {
  double sum = 0;
  const size_t size = direction.size();
  for (size_t i = 0; i < size * size; ++i) sum += direction[i / size] * curvature[i] * direction[i % size];
  return sum;
}

/// Class responses of one expert are asked exactly (gatewright/likelihood/separation.h). Behind gates who
/// belongs to which expert is not known but estimated, and no such question exists: there, the likelihood's
/// own rise is the measure.
std::optional<Separation> exact_separation(const MixtureSpec& spec, const Design& design) {
  return spec.experts == 1 && spec.family == Family::kMultinomial ? std::optional(separation(spec, design))
                                                                  : std::nullopt;
}

/// Takes the directions without a finite maximum out of the sums: their information is 0 in the limit.
void take_out(const Separation& of, Information& sums) {
  const size_t size = sums.gradient.size();
  for (const auto& direction : of.directions) {
    std::vector<double> unit(size - direction.size(), 0.0);  // a gate's temperature comes first
    unit.insert(unit.end(), direction.begin(), direction.end());
    Matrix rest(size * size);
    for (size_t i = 0; i < size * size; ++i)
      rest[i] = (i / size == i % size ? 1.0 : 0.0) - unit[i / size] * unit[i % size];
    sums.curvature = product(product(rest, sums.curvature, size), rest, size);
    const double along = std::inner_product(unit.begin(), unit.end(), sums.gradient.begin(), 0.0);
    for (size_t i = 0; i < size; ++i) sums.gradient[i] -= along * unit[i];
  }
}

/// Where classes are separated with a gap, the border may also turn or move within it: such directions are
/// known by their information, which vanishes together with that of the ones that rise. `here`: the sums at
/// the estimate.
Directions directions_of(const FitResult& fit, const std::vector<FreeParameter>& list,
                         const std::vector<double>& at, const Design& design, Information here,
                         const SumsAt& sums_at, const std::optional<Separation>& exact) {
  const size_t size = list.size();
  leave_out_overflow(here);
  if (exact) take_out(*exact, here);
  auto axes = axes_of(fit, list, here.curvature, here.gradient, design);
  std::vector<bool> rising(size, false);
  if (exact) {
    for (size_t k = 0; k < size; ++k) rising[k] = !exact->directions.empty() && axes.value[k] <= kRank;
  } else if (std::any_of(axes.rise.begin(), axes.rise.end(), [](double step) { return step != 0; })) {
    auto there = sums_at(further(axes, at));
    if (!finite(there.curvature)) there = here;
    axes = axes_of(fit, list, there.curvature, there.gradient, design);
    for (size_t k = 0; k < size; ++k)
      rising[k] =
          axes.rise[k] != 0 || axes.value[k] < kVanishes * curvature_along(axes.direction[k], here.curvature);
  }
  Directions result{Matrix(size * size, 0.0), {}, {}};
  for (size_t k = 0; k < size; ++k) {
    auto& direction = axes.direction[k];
    if (axes.value[k] > kRank && !rising[k]) {
      for (size_t i = 0; i < size; ++i) result.factor[i * size + k] = direction[i] / std::sqrt(axes.value[k]);
      continue;
    }
    turn_to_ratio(fit.spec, list, at, direction);
    const double length =
        std::sqrt(std::inner_product(direction.begin(), direction.end(), direction.begin(), 0.0));
    for (auto& entry : direction) entry /= length;
    result.undetermined.push_back(std::move(direction)), result.rising.push_back(rising[k]);
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
  if (!gate && spec.family == Family::kMultinomial) text += fmt::format(", class {}", free.output + 1);
  const auto column = static_cast<size_t>(free.column);
  return text + " " +
         (free.column < 0         ? "(intercept)"
          : column < names.size() ? names[column]
                                  : fmt::format("column {}", column + 1));
}

void warn(const MixtureSpec& spec, const std::vector<bool>& rising, const std::vector<bool>& missing,
          const std::vector<std::string>& names, const std::optional<Separation>& exact, Inference& result) {
  const std::string how = !exact ? ""
                          : exact->kind == Separation::Kind::kComplete
                              ? " completely"
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
                    "holds these coefficients, which "
                    "have no finite "
                    "maximum and no standard errors: {1}; fewer columns or fewer {0} give a maximum",
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

std::vector<std::vector<double>> rising_of(const Directions& directions) {
  std::vector<std::vector<double>> list;
  for (size_t k = 0; k < directions.rising.size(); ++k) {
    if (directions.rising[k]) list.push_back(directions.undetermined[k]);
  }
  return list;
}

}  // namespace

Inference infer(const FitResult& fit, const DataView& data, const std::vector<std::string>& column_names) {
  Inference result;
  result.parameter = free_parameter_list(fit.spec, data.d);
  const size_t size = result.parameter.size();
  const auto values = to_vector(fit.spec, fit.parameters);
  for (size_t i = 0; i < size; ++i)
    result.estimate.push_back(result.parameter[i].logarithmic() ? std::exp(values[i]) : values[i]);
  const Design design(data, fit.spec, column_names);
  const auto standard = design.to_standard(fit.parameters);
  const auto fixed = held(fit, result.parameter);
  const auto map = to_data_map(fit.spec, standard, design);
  auto at = to_vector(fit.spec, standard);
  const auto exact = exact_separation(fit.spec, design);
  if (exact && !exact->to_limit.empty())
    std::transform(exact->to_limit.rbegin(), exact->to_limit.rend(), at.rbegin(), at.rbegin(), std::plus<>());
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
  const bool kinked = fit.spec.family == Family::kLaplace;
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
