#include "gatewright/likelihood/mean_interval.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/small_sample.h"

namespace gw::likelihood {
namespace {

constexpr size_t kPoints = 256;
constexpr double kManyRows = 1e6;  // degrees of freedom of a normal law

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// Takes the part along unit vectors out of `row`; returns the part's coordinates.
std::vector<double> take_out(const std::vector<std::vector<double>>& units, std::vector<double>& row) {
  std::vector<double> parts;
  for (const auto& unit : units) {
    parts.push_back(dot(unit, row));
    for (size_t i = 0; i < row.size(); ++i) row[i] -= parts.back() * unit[i];
  }
  return parts;
}

/// Scores and predictors as they move with independent standard normal variables: `scores` and `lines` with
/// those that move scores [experts][rank], and what is left to the predictors, their covariance given the
/// scores [experts][experts].
struct Moves {
  size_t rank = 0;
  std::vector<std::vector<double>> scores, lines, rest;
};

Moves moves_of(const LocalModel& at, const std::vector<double>& factors, const Inference& inference) {
  constexpr double kSmall = 1e-8;
  const size_t experts = at.gate.size();
  std::vector<std::vector<double>> rows, units, left;
  const auto by_score = at.mean_by_score();
  std::vector<double> first(inference.parameter.size(), 0.0);  // of the mean, through all scores
  for (size_t k = 0; k < experts; ++k) {
    rows.push_back(by_factor(at.score_by[k], inference));
    for (size_t i = 0; i < first.size(); ++i) first[i] += by_score[k] * rows[k][i];
  }
  const auto add_unit = [&](std::vector<double> row) {
    const double before = dot(row, row);
    for (int twice = 0; twice < 2; ++twice) take_out(units, row);
    const double length = std::sqrt(dot(row, row));
    if (!(length > kSmall * std::sqrt(before)) || units.size() == experts) return;
    for (auto& value : row) value /= length;
    units.push_back(std::move(row));
  };
  add_unit(first);
  for (const auto& row : rows) add_unit(row);
  Moves moves;
  moves.rank = units.size();
  for (size_t k = 0; k < experts; ++k) {
    moves.scores.push_back(take_out(units, rows[k]));
    auto& line = left.emplace_back(by_factor(at.line_by[k], inference));
    for (auto& value : line) value *= factors[k];
    moves.lines.push_back(take_out(units, line));
  }
  for (const auto& a : left) {
    auto& row = moves.rest.emplace_back();
    for (const auto& b : left) row.push_back(dot(a, b));
  }
  return moves;
}

/// Points whose laws are those of independent standard normal variables [kPoints][rank]: the first coordinate
/// is regular, the others advance by the powers of the root of x^rank = x + 1, which spreads them evenly.
std::vector<std::vector<double>> normal_points(size_t rank) {
  double root = 1.5;
  for (int i = 0; i < 60; ++i) root = std::pow(1 + root, 1 / static_cast<double>(rank));
  std::vector<std::vector<double>> points(kPoints);
  for (size_t i = 0; i < kPoints; ++i) {
    for (size_t j = 0; j < rank; ++j) {
      const double place = static_cast<double>(i) * std::pow(root, -static_cast<double>(j)),
                   regular = (static_cast<double>(i) + 0.5) / static_cast<double>(kPoints);
      const double u = 0.5 + place;
      points[i].push_back(normal_quantile(j == 0 ? regular : u - std::floor(u)));
    }
  }
  return points;
}

/// The law of the mean given the scores.
struct Law {
  double mean = 0, deviation = 0, freedom = kManyRows;
};

/// The law at one point of the scores' variables; `freedom` of the experts.
Law law_at(const LocalModel& at, const Moves& moves, const std::vector<double>& point,
           const std::vector<double>& freedom) {
  const size_t experts = at.gate.size();
  std::vector<double> gate(experts);
  for (size_t k = 0; k < experts; ++k) gate[k] = std::log(at.gate[k]) + dot(moves.scores[k], point);
  const double total = log_sum_exp(gate.data(), static_cast<int64_t>(experts));
  Law law;
  double variance = 0, squares = 0;
  for (size_t k = 0; k < experts; ++k) {
    gate[k] = std::exp(gate[k] - total);
    law.mean += gate[k] * (at.line[k] + dot(moves.lines[k], point));
  }
  for (size_t k = 0; k < experts; ++k) {
    for (size_t l = 0; l < experts; ++l) variance += gate[k] * gate[l] * moves.rest[k][l];
    squares += std::pow(gate[k] * gate[k] * moves.rest[k][k], 2) / freedom[k];
  }
  law.deviation = std::sqrt(std::max(variance, 0.0));
  if (squares > 0) law.freedom = std::clamp(variance * variance / squares, 1.0, kManyRows);
  return law;
}

double share_below(const std::vector<Law>& laws, double value) {
  double sum = 0;
  for (const auto& law : laws) {
    const double t = (value - law.mean) / law.deviation;
    sum += law.freedom < kManyRows ? normal_cdf(normal_equivalent(t, law.freedom)) : normal_cdf(t);
  }
  return sum / static_cast<double>(laws.size());
}

/// By false position with halved ends (Illinois), from a bracket that grows until it holds the quantile.
double quantile_of(const std::vector<Law>& laws, double probability) {
  double low = laws.front().mean, high = low, step = 0;
  for (const auto& law : laws) {
    low = std::min(low, law.mean), high = std::max(high, law.mean), step = std::max(step, law.deviation);
  }
  const auto off = [&](double value) { return share_below(laws, value) - probability; };
  double below = off(low), above = off(high);
  for (double grown = step; below >= 0; grown *= 2) low -= grown, below = off(low);
  for (double grown = step; above <= 0; grown *= 2) high += grown, above = off(high);
  for (int i = 0, side = 0; i < 200 && high - low > 1e-12 * step; ++i) {
    const double middle = i % 4 == 3 ? 0.5 * (low + high) : (low * above - high * below) / (above - below);
    const double value = off(middle);
    if (value == 0) return middle;
    if (value < 0) {
      low = middle, below = value;
      if (side < 0) above *= 0.5;
    } else {
      high = middle, above = value;
      if (side > 0) below *= 0.5;
    }
    side = value < 0 ? -1 : 1;
  }
  return 0.5 * (low + high);
}

}  // namespace

Interval mean_interval(const MixtureSpec& spec, const MixtureParameters& p, const LocalModel& at,
                       double level, const Inference& inference) {
  std::vector<double> factors, freedom;
  for (int64_t k = 0; k < p.experts; ++k) {
    const auto small =
        spec.family->location_scale()->least_squares() ? small_sample(spec, p, inference, k) : std::nullopt;
    factors.push_back(small ? small->factor : 1), freedom.push_back(small ? small->freedom : kManyRows);
  }
  if (p.experts == 1) {
    const double half = student_quantile(0.5 + level / 2, freedom[0]) * factors[0] *
                        delta_error(at.line_by[0], inference).value_or(0);
    return {at.line[0] - half, at.line[0] + half};
  }
  const auto moves = moves_of(at, factors, inference);
  std::vector<Law> laws;
  for (const auto& point : moves.rank > 0 ? normal_points(moves.rank) : std::vector<std::vector<double>>(1))
    laws.push_back(law_at(at, moves, point, freedom));
  // Lines may be known exactly where the gate is not.
  const double narrowest = 1e-9 * delta_error(at.mean_by(), inference).value_or(1);
  for (auto& law : laws) law.deviation = std::max(law.deviation, narrowest);
  return {quantile_of(laws, 0.5 - level / 2), quantile_of(laws, 0.5 + level / 2)};
}

}  // namespace gw::likelihood
