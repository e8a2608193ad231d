#include "gatewright/likelihood/theory/voronoi.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::pair<const char*, LossKind> kLosses[] = {{"exact", LossKind::kExact},
                                                        {"softmax_gaussian", LossKind::kSoftmaxGaussian},
                                                        {"activation", LossKind::kActivation},
                                                        {"multinomial", LossKind::kMultinomial}};

double squared_distance(const Group& a, const Group& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i)
    sum += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]);
  return sum;
}

void check_measures(const MixingMeasure& fitted, const MixingMeasure& truth) {
  GW_CHECK(!fitted.empty() && !truth.empty(),
           "theory/voronoi: expected atoms in both measures, got {} fitted and {} true; fit an expert first",
           fitted.size(), truth.size());
  for (const auto* measure : {&fitted, &truth}) {
    for (const Atom& atom : *measure) {
      GW_ENSURE(atom.groups.size() == truth[0].groups.size(), "theory/voronoi: atoms of {} and {} groups",
                atom.groups.size(), truth[0].groups.size());
      for (size_t g = 0; g < atom.groups.size(); ++g)
        GW_ENSURE(atom.groups[g].values.size() == truth[0].groups[g].values.size() &&
                      atom.groups[g].kind == truth[0].groups[g].kind,
                  "theory/voronoi: group {} differs between atoms", g);
    }
  }
}

std::vector<int> cell_sizes(const std::vector<size_t>& cells, size_t count) {
  std::vector<int> sizes(count, 0);
  for (const size_t cell : cells) ++sizes[cell];
  return sizes;
}

std::vector<double> cell_weights(const MixingMeasure& fitted, const std::vector<size_t>& cells,
                                 size_t count) {
  std::vector<double> weights(count, 0);
  for (size_t i = 0; i < fitted.size(); ++i) weights[cells[i]] += std::exp(fitted[i].log_weight);
  return weights;
}

double weight_term(const std::vector<double>& fitted, const MixingMeasure& truth, double factor) {
  double sum = 0;
  for (size_t j = 0; j < truth.size(); ++j)
    sum += std::abs(factor * fitted[j] - std::exp(truth[j].log_weight));
  return sum;
}

// Piecewise linear and convex in the factor: the minimum is where one of the cells fits exactly.
void match_weights(MixingMeasure& fitted, const MixingMeasure& truth, const std::vector<size_t>& cells) {
  // The largest weight becomes 1 first: a spurious expert's exp(b0) may overflow.
  double top = -std::numeric_limits<double>::infinity();
  for (const Atom& atom : fitted) top = std::max(top, atom.log_weight);
  for (Atom& atom : fitted) atom.log_weight -= top;
  const auto weights = cell_weights(fitted, cells, truth.size());
  double best = std::numeric_limits<double>::infinity(), shift = 0;
  for (size_t j = 0; j < truth.size(); ++j) {
    if (!(weights[j] > 0)) continue;
    const double candidate = truth[j].log_weight - std::log(weights[j]);
    const double value = weight_term(weights, truth, std::exp(candidate));
    if (value < best) best = value, shift = candidate;
  }
  for (Atom& atom : fitted) atom.log_weight += shift;
}

void match_slopes(MixingMeasure& fitted, const MixingMeasure& truth, const std::vector<size_t>& cells,
                  LossKind kind) {
  const auto sizes = cell_sizes(cells, truth.size());
  std::vector<std::vector<double>> points;
  std::vector<double> weights, powers;
  for (size_t i = 0; i < fitted.size(); ++i) {
    std::vector<double> difference = fitted[i].groups[0].values;
    for (size_t d = 0; d < difference.size(); ++d) difference[d] -= truth[cells[i]].groups[0].values[d];
    points.push_back(std::move(difference));
    weights.push_back(std::exp(fitted[i].log_weight));
    powers.push_back(loss_power(kind, GroupKind::kGateSlope, sizes[cells[i]]));
  }
  const auto shift = power_median(points, weights, powers);
  for (Atom& atom : fitted)
    for (size_t d = 0; d < shift.size(); ++d) atom.groups[0].values[d] -= shift[d];
}

std::vector<CellErrors> largest_errors(const MixingMeasure& fitted, const MixingMeasure& truth,
                                       const std::vector<size_t>& cells) {
  const auto sizes = cell_sizes(cells, truth.size());
  const auto weights = cell_weights(fitted, cells, truth.size());
  const auto raise = [](double& largest, double value) {
    largest = std::isnan(largest) ? value : std::max(largest, value);
  };
  std::vector<CellErrors> errors;
  for (size_t g = 0; g < truth[0].groups.size(); ++g) {
    const GroupKind kind = truth[0].groups[g].kind;
    if (errors.empty() ||
        std::none_of(errors.begin(), errors.end(), [&](const CellErrors& e) { return e.kind == kind; }))
      errors.push_back({kind, kNan, kNan, kNan});
    auto& entry =
        *std::find_if(errors.begin(), errors.end(), [&](const CellErrors& e) { return e.kind == kind; });
    std::vector<double> means(truth.size(), 0);
    for (size_t i = 0; i < fitted.size(); ++i) {
      const double error = std::sqrt(squared_distance(fitted[i].groups[g], truth[cells[i]].groups[g]));
      raise(sizes[cells[i]] > 1 ? entry.multiple : entry.single, error);
      means[cells[i]] += std::exp(fitted[i].log_weight) / weights[cells[i]] * error;
    }
    for (size_t j = 0; j < truth.size(); ++j)
      if (sizes[j] > 1) raise(entry.weighted, means[j]);
  }
  return errors;
}

std::vector<double> terms_of_cells(const MixingMeasure& fitted, const MixingMeasure& truth,
                                   const std::vector<size_t>& cells, LossKind kind) {
  const auto sizes = cell_sizes(cells, truth.size());
  const auto weights = cell_weights(fitted, cells, truth.size());
  std::vector<double> terms(truth.size(), 0);
  for (size_t j = 0; j < truth.size(); ++j) terms[j] = std::abs(weights[j] - std::exp(truth[j].log_weight));
  for (size_t i = 0; i < fitted.size(); ++i) {
    const size_t j = cells[i];
    for (size_t g = 0; g < truth[j].groups.size(); ++g) {
      const double distance = std::sqrt(squared_distance(fitted[i].groups[g], truth[j].groups[g]));
      terms[j] += std::exp(fitted[i].log_weight) *
                  std::pow(distance, loss_power(kind, truth[j].groups[g].kind, sizes[j]));
    }
  }
  return terms;
}

using Vector = Eigen::VectorXd;

/// Σ w_i (|v - p_i|² + smooth²)^(power_i / 2), weights relative to the largest.
struct PowerSum {
  const std::vector<std::vector<double>>& points;
  const std::vector<double>&weights, &powers;
  double largest;

  Eigen::Index width() const { return static_cast<Eigen::Index>(points[0].size()); }
  Eigen::Map<const Vector> at(size_t i) const { return {points[i].data(), width()}; }

  double value(const Vector& v, double smooth) const {
    double sum = 0;
    for (size_t i = 0; i < points.size(); ++i)
      sum += weights[i] / largest * std::pow((v - at(i)).squaredNorm() + smooth * smooth, 0.5 * powers[i]);
    return sum;
  }

  /// Gradient and curvature, the latter positive definite.
  std::pair<Vector, Eigen::MatrixXd> derivatives(const Vector& v, double smooth) const {
    const Eigen::Index d = width();
    Vector gradient = Vector::Zero(d);
    Eigen::MatrixXd hessian = Eigen::MatrixXd::Zero(d, d);
    for (size_t i = 0; i < points.size(); ++i) {
      const Vector delta = v - at(i);
      const double q = delta.squaredNorm() + smooth * smooth;
      const double c = weights[i] / largest * powers[i] * std::pow(q, 0.5 * powers[i] - 1);
      gradient += c * delta;
      hessian += c * (Eigen::MatrixXd::Identity(d, d) + (powers[i] - 2) / q * delta * delta.transpose());
    }
    hessian.diagonal().array() += 1e-12 * hessian.diagonal().maxCoeff() + std::numeric_limits<double>::min();
    return {gradient, hessian};
  }
};

}  // namespace

const char* name_of(GroupKind kind) {
  switch (kind) {
    case GroupKind::kGateSlope:
      return "gate_slope";
    case GroupKind::kTemperature:
      return "temperature";
    case GroupKind::kSlope:
      return "slope";
    case GroupKind::kIntercept:
      return "intercept";
    case GroupKind::kVariance:
      return "variance";
  }
  return "";
}

LossKind loss_kind(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [text, kind] : kLosses) {
    if (name == text) return kind;
    known.push_back(text);
  }
  fail("theory/voronoi: unknown loss \"{}\"{}", name, near_miss(name, known));
}

int rbar(int m) {
  constexpr int kKnown[] = {1, 1, 4, 6};
  return m < 4 ? kKnown[std::max(m, 0)] : 7;
}

double loss_power(LossKind kind, GroupKind group, int m) {
  if (m <= 1 || kind == LossKind::kExact) return 1;
  if (kind == LossKind::kMultinomial) return 2;
  if (group == GroupKind::kIntercept) return rbar(m);
  if (group == GroupKind::kVariance) return 0.5 * rbar(m);
  if (kind == LossKind::kActivation) return 2;
  return group == GroupKind::kSlope ? 0.5 * rbar(m) : rbar(m);
}

MixingMeasure mixing_measure(const MixtureSpec& spec, const MixtureParameters& p) {
  MixingMeasure measure;
  const auto row = [](const std::vector<double>& all, int64_t i, int64_t width) {
    return std::vector<double>(all.begin() + i * width, all.begin() + (i + 1) * width);
  };
  for (int64_t k = 0; k < p.experts; ++k) {
    Atom atom{p.gate_bias[static_cast<size_t>(k)],
              {{GroupKind::kGateSlope, row(p.gate_slope, k, p.gate_inputs)}}};
    if (spec.gate.kind->tempered()) atom.groups.push_back({GroupKind::kTemperature, {p.temperature}});
    for (int64_t o = 0; o < p.outputs; ++o) {
      atom.groups.push_back({GroupKind::kSlope, row(p.slope, k * p.outputs + o, p.inputs)});
      atom.groups.push_back({GroupKind::kIntercept, row(p.intercept, k * p.outputs + o, 1)});
    }
    const auto* law = spec.family->location_scale();
    const double scale = law == nullptr ? 0 : p.scale[static_cast<size_t>(k)];
    if (law != nullptr)
      atom.groups.push_back({GroupKind::kVariance, {law->least_squares() ? scale * scale : scale}});
    measure.push_back(std::move(atom));
  }
  return measure;
}

std::vector<size_t> voronoi_cells(const MixingMeasure& fitted, const MixingMeasure& truth) {
  check_measures(fitted, truth);
  std::vector<size_t> cells;
  for (const Atom& atom : fitted) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t j = 0; j < truth.size(); ++j) {
      double distance = 0;
      for (size_t g = 0; g < atom.groups.size(); ++g)
        distance += squared_distance(atom.groups[g], truth[j].groups[g]);
      if (distance < least) least = distance, best = j;
    }
    cells.push_back(best);
  }
  return cells;
}

std::vector<double> power_median(const std::vector<std::vector<double>>& points,
                                 const std::vector<double>& weights, const std::vector<double>& powers) {
  const PowerSum sum{points, weights, powers, *std::max_element(weights.begin(), weights.end())};
  double spread = 0;
  for (size_t i = 0; i < points.size(); ++i) spread = std::max(spread, (sum.at(i) - sum.at(0)).norm());
  if (spread == 0) return points[0];
  Vector t = Vector::Zero(sum.width());
  // Damped Newton on a smoothed problem whose smoothing shrinks: smooth and convex at every stage, so each
  // ends at its only minimum.
  for (double smooth = spread; smooth > 1e-10 * spread; smooth *= 0.2) {
    for (int iteration = 0; iteration < 60; ++iteration) {
      const auto [gradient, hessian] = sum.derivatives(t, smooth);
      const Vector step = hessian.ldlt().solve(gradient);
      const double decrement = gradient.dot(step), old = sum.value(t, smooth);
      double length = 1;
      while (length > 1e-12 && !(sum.value(t - length * step, smooth) <= old - 1e-4 * length * decrement))
        length *= 0.5;
      if (length <= 1e-12) break;
      t -= length * step;
      if (length * step.norm() < 1e-3 * smooth) break;
    }
  }
  return {t.data(), t.data() + t.size()};
}

VoronoiResult voronoi_loss(MixingMeasure fitted, const MixingMeasure& truth, LossKind kind, int64_t active,
                           bool shift_slopes) {
  VoronoiResult result;
  result.cells = voronoi_cells(fitted, truth);
  match_weights(fitted, truth, result.cells);
  // A shift of the gates moves atoms, and cells with them; a few rounds settle it, and the cells belong to
  // the last shift.
  for (int round = 0; shift_slopes && round < 8; ++round) {
    match_slopes(fitted, truth, result.cells, kind);
    auto cells = voronoi_cells(fitted, truth);
    if (cells == result.cells) break;
    result.cells = std::move(cells);
    match_weights(fitted, truth, result.cells);
  }
  result.cell_terms = terms_of_cells(fitted, truth, result.cells, kind);
  result.errors = largest_errors(fitted, truth, result.cells);
  const auto sizes = cell_sizes(result.cells, truth.size());
  result.all_covered = std::none_of(sizes.begin(), sizes.end(), [](int size) { return size == 0; });
  // Terms are not negative: the largest sum over subsets takes the largest terms.
  auto terms = result.cell_terms;
  std::sort(terms.rbegin(), terms.rend());
  const size_t counted = active > 0 ? std::min(terms.size(), static_cast<size_t>(active)) : terms.size();
  for (size_t j = 0; j < counted; ++j) result.loss += terms[j];
  return result;
}

}  // namespace gw::likelihood
