#include "gatewright/likelihood/directions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;

constexpr double kRank = 1e-10;  // smallest curvature of a determined direction, in units of its coordinates
constexpr double kStillRises =
    0.1;  // change of a score by a Newton step; at a separation it is about 1, at a maximum below 1e-3
constexpr double kFurther =
    3;  // Newton steps along what rises, after which information that vanishes has fallen by e^-3 = 0.05
constexpr double kFarthest = 10;  // change of a score that a Newton step may make
constexpr double kVanishes =
    0.3;  // share of the information left there, below which a direction goes with what rises

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

/// A few Newton steps further along the directions in which the likelihood rises: there, parameters that only
/// rows at the border determine have lost their information.
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

}  // namespace

bool linear_score(const MixtureSpec& spec, const FreeParameter& free) {
  const bool gate = free.kind == Kind::kGateBias || free.kind == Kind::kGateSlope;
  return gate || (spec.family->classes() && (free.kind == Kind::kIntercept || free.kind == Kind::kSlope));
}

size_t held_temperature(const MixtureSpec& spec, const std::vector<FreeParameter>& list) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [](const FreeParameter& free) { return free.kind == Kind::kTemperature; });
  const bool linear = spec.gate.kind->tempered() && spec.gate.kind->linear(spec.gate);
  return linear ? static_cast<size_t>(found - list.begin()) : list.size();
}

std::optional<Separation> exact_separation(const MixtureSpec& spec, const Design& design) {
  return spec.experts == 1 && spec.family->classes() ? std::optional(separation(spec, design)) : std::nullopt;
}

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

std::vector<std::vector<double>> rising_of(const Directions& directions) {
  std::vector<std::vector<double>> list;
  for (size_t k = 0; k < directions.rising.size(); ++k) {
    if (directions.rising[k]) list.push_back(directions.undetermined[k]);
  }
  return list;
}

}  // namespace gw::likelihood
