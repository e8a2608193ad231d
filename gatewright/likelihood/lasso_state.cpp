#include "gatewright/likelihood/lasso_state.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"

namespace gw::likelihood {
namespace {

double soft(double value, double threshold) {
  return value > threshold ? value - threshold : value < -threshold ? value + threshold : 0;
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

double weighted_dot(const double* w, const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += w[i] * a[i] * b[i];
  return sum;
}

void add_multiple(double factor, const double* a, double* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * a[i];
}

}  // namespace

LassoColumns::LassoColumns(const DataView& data, const LassoOptions& options)
    : n(data.n),
      p(data.d),
      x(static_cast<size_t>(data.n * data.d)),
      mean(static_cast<size_t>(p)),
      deviation(static_cast<size_t>(p), 1),
      y(data.y, data.y + data.n),
      allowed(static_cast<size_t>(p), options.columns ? 0 : 1) {
  const double count = static_cast<double>(n);
  if (options.columns) {
    for (const int64_t j : *options.columns) {
      GW_CHECK(j >= 0 && j < p, "lasso: expected columns below {}, got {}", p, j);
      allowed[static_cast<size_t>(j)] = 1;
    }
  }
  for (int64_t j = 0; j < p; ++j) {
    const auto c = static_cast<size_t>(j);
    double* column = x.data() + j * n;
    for (int64_t i = 0; i < n; ++i) column[i] = data.x[i * p + j];
    mean[c] = std::accumulate(column, column + n, 0.0) / count;
    for (int64_t i = 0; i < n; ++i) column[i] -= mean[c];
    const double variance = dot(column, column, n) / count;
    const bool constant = variance <= 1e-20 * std::max(1.0, mean[c] * mean[c]);
    if (!constant) deviation[c] = std::sqrt(variance);
    allowed[c] = allowed[c] && !constant;
    for (int64_t i = 0; i < n; ++i) column[i] = constant ? 0 : column[i] / deviation[c];
  }
  y_mean = std::accumulate(y.begin(), y.end(), 0.0) / count;
  double squares = 0;
  for (const double value : y) squares += (value - y_mean) * (value - y_mean);
  y_deviation = std::sqrt(squares / count);
  GW_CHECK(y_deviation > 0, "lasso: expected a response that varies, got {} in every row", y_mean);
}

void LassoLinear::admit(int64_t j) {
  if (in_working[static_cast<size_t>(j)]) return;
  in_working[static_cast<size_t>(j)] = 1;
  working.push_back(j);
}

double LassoLinear::norm() const {
  double sum = 0;
  for (const int64_t j : working) sum += std::abs(slope[static_cast<size_t>(j)]);
  return sum;
}

int64_t LassoLinear::count() const {
  return std::count_if(working.begin(), working.end(),
                       [&](int64_t j) { return slope[static_cast<size_t>(j)] != 0; });
}

LassoState::LassoState(const LassoColumns& columns, const MixtureParameters& start,
                       const LassoOptions& options)
    : columns_(columns), options_(options), law_(*Family("gaussian")->location_scale()) {
  const auto p = columns.p;
  const auto place = [&](LassoLinear& linear, double intercept, const double* slope, const double* minus) {
    linear.intercept = intercept;
    for (int64_t j = 0; j < p; ++j) {
      const auto c = static_cast<size_t>(j);
      const double value = columns.allowed[c] ? slope[j] - (minus == nullptr ? 0 : minus[j]) : 0;
      if (value == 0) continue;
      linear.intercept += value * columns.mean[c];
      linear.slope[c] = value * columns.deviation[c];
      linear.admit(j);
    }
    std::fill(linear.predictor.begin(), linear.predictor.end(), linear.intercept);
    for (const int64_t j : linear.working)
      add_multiple(linear.slope[static_cast<size_t>(j)], columns.column(j), linear.predictor.data(),
                   columns.n);
  };
  const double* last_slope = start.gate_slope.data() + (start.experts - 1) * p;
  for (int64_t k = 0; k < start.experts; ++k) {
    const auto e = static_cast<size_t>(k);
    experts_.emplace_back(columns.n, p);
    gates_.emplace_back(columns.n, p);
    place(experts_.back(), start.intercept[e], start.slope.data() + k * p, nullptr);
    place(gates_.back(), start.gate_bias[e] - start.gate_bias.back(), start.gate_slope.data() + k * p,
          last_slope);
    variance_.push_back(std::pow(std::max(start.scale[e], options.min_scale * columns.y_deviation), 2));
  }
  tau_.assign(experts_.size(), std::vector<double>(static_cast<size_t>(columns.n)));
}

double LassoState::expect(double lambda) {
  const size_t k = experts_.size();
  std::vector<double> score(k), joint(k);
  log_likelihood_ = 0;
  const auto log_sum = [](const std::vector<double>& v) {
    const double top = *std::max_element(v.begin(), v.end());
    double sum = 0;
    for (const double value : v) sum += std::exp(value - top);
    return top + std::log(sum);
  };
  std::vector<double> scale(k), constant(k);
  for (size_t e = 0; e < k; ++e) scale[e] = std::sqrt(variance_[e]), constant[e] = law_.constant(scale[e], 0);
  for (size_t i = 0; i < static_cast<size_t>(columns_.n); ++i) {
    for (size_t e = 0; e < k; ++e) {
      const double r = (columns_.y[i] - experts_[e].predictor[i]) / scale[e];
      score[e] = gates_[e].predictor[i];
      joint[e] = score[e] + constant[e] - law_.cost(r, 0);
    }
    const double total = log_sum(joint);
    log_likelihood_ += total - log_sum(score);
    for (size_t e = 0; e < k; ++e) tau_[e][i] = std::exp(joint[e] - total);
  }
  return -log_likelihood_ / static_cast<double>(columns_.n) + penalty(lambda);
}

double LassoState::penalty(double lambda) const {
  double sum = 0;
  for (size_t k = 0; k < experts_.size(); ++k) {
    sum += experts_[k].norm() / (options_.scaled ? std::sqrt(variance_[k]) : 1);
    sum += options_.gate_share * gates_[k].norm();
  }
  return lambda * sum;
}

void LassoState::maximise(double lambda) {
  for (size_t k = 0; k < experts_.size(); ++k) update_expert(k, lambda);
  for (size_t k = 0; k + 1 < gates_.size(); ++k) update_gate(k, lambda);
}

// Weighted least squares with soft thresholds; residuals are kept up to date instead of the predictor.
void LassoState::update_expert(size_t k, double lambda) {
  auto& expert = experts_[k];
  const auto& tau = tau_[k];
  const int64_t n = columns_.n;
  const double mass = std::accumulate(tau.begin(), tau.end(), 0.0);
  if (!(mass > 1e-8 * static_cast<double>(n))) return;  // nobody's: it keeps its place until rows come back
  std::vector<double> residual(columns_.y);
  for (size_t i = 0; i < residual.size(); ++i) residual[i] -= expert.predictor[i];
  const double threshold =
      static_cast<double>(n) * lambda * (options_.scaled ? std::sqrt(variance_[k]) : variance_[k]);
  std::vector<double> curvature;
  for (const int64_t j : expert.working)
    curvature.push_back(weighted_dot(tau.data(), columns_.column(j), columns_.column(j), n));
  for (int64_t sweep = 0; sweep < options_.sweeps; ++sweep) {
    const double shift = dot(tau.data(), residual.data(), n) / mass;
    expert.intercept += shift;
    for (double& r : residual) r -= shift;
    for (size_t w = 0; w < expert.working.size(); ++w) {
      if (!(curvature[w] > 0)) continue;
      double& slope = expert.slope[static_cast<size_t>(expert.working[w])];
      const double* x = columns_.column(expert.working[w]);
      const double moved =
          soft(weighted_dot(tau.data(), residual.data(), x, n) + curvature[w] * slope, threshold) /
          curvature[w];
      if (moved == slope) continue;
      add_multiple(slope - moved, x, residual.data(), n);
      slope = moved;
    }
  }
  for (size_t i = 0; i < residual.size(); ++i) expert.predictor[i] = columns_.y[i] - residual[i];
  variance_[k] = best_variance(weighted_dot(tau.data(), residual.data(), residual.data(), n), mass,
                               static_cast<double>(n) * lambda * expert.norm());
}

// Minimises mass·log(s) + squares / (2 s²) + pressure / s over s, where the last term is the penalty of
// slopes per sigma: the positive root of mass·s² − pressure·s − squares.
double LassoState::best_variance(double squares, double mass, double pressure) const {
  const double least = options_.min_scale * columns_.y_deviation;
  if (!options_.scaled) pressure = 0;
  const double s = (pressure + std::sqrt(pressure * pressure + 4 * mass * squares)) / (2 * mass);
  return std::pow(std::max(s, least), 2);
}

std::vector<double> LassoState::gate_probabilities(size_t k) const {
  std::vector<double> probability(static_cast<size_t>(columns_.n));
  for (size_t i = 0; i < probability.size(); ++i) {
    double sum = 0;
    for (const auto& gate : gates_) sum += std::exp(gate.predictor[i] - gates_[k].predictor[i]);
    probability[i] = 1 / sum;
  }
  return probability;
}

// The log-partition's curvature in one gate's score is p(1 − p) <= 1/4: a parabola of that curvature bounds
// the objective from above, and its penalised minimum over one coordinate after another lowers both. The
// bound is renewed every sweep.
void LassoState::update_gate(size_t k, double lambda) {
  auto& gate = gates_[k];
  const int64_t n = columns_.n;
  const double threshold = 4 * static_cast<double>(n) * lambda * options_.gate_share;
  for (int64_t sweep = 0; sweep < options_.sweeps; ++sweep) {
    auto residual = gate_probabilities(k);
    for (size_t i = 0; i < residual.size(); ++i) residual[i] = 4 * (tau_[k][i] - residual[i]);
    auto before = residual;
    const double shift = std::accumulate(residual.begin(), residual.end(), 0.0) / static_cast<double>(n);
    gate.intercept += shift;
    for (double& r : residual) r -= shift;
    for (const int64_t j : gate.working) {
      double& slope = gate.slope[static_cast<size_t>(j)];
      const double* x = columns_.column(j);
      const double moved = soft(dot(residual.data(), x, n) + static_cast<double>(n) * slope, threshold) /
                           static_cast<double>(n);
      if (moved == slope) continue;
      add_multiple(slope - moved, x, residual.data(), n);
      slope = moved;
    }
    for (size_t i = 0; i < residual.size(); ++i) gate.predictor[i] += before[i] - residual[i];
  }
}

// What a part's slopes are pulled by: tau·residual / variance of an expert, tau − probability of a gate, in
// units of its penalty.
std::vector<double> LassoState::pull(size_t part) const {
  const bool expert = part < experts_.size();
  const size_t k = expert ? part : part - experts_.size();
  const double count = static_cast<double>(columns_.n);
  const double unit =
      expert ? (options_.scaled ? std::sqrt(variance_[k]) : variance_[k]) : options_.gate_share;
  std::vector<double> force = expert ? columns_.y : gate_probabilities(k);
  for (size_t i = 0; i < force.size(); ++i) {
    if (expert)
      force[i] = tau_[k][i] * (force[i] - experts_[k].predictor[i]) / (unit * count);
    else
      force[i] = (tau_[k][i] - force[i]) / (unit * count);
  }
  return force;
}

template <class Each>
void LassoState::each_gradient(Each each) const {
  const size_t parts = 2 * experts_.size() - 1;
  for (size_t part = 0; part < parts; ++part) {
    const auto force = pull(part);
    for (int64_t j = 0; j < columns_.p; ++j) {
      if (columns_.allowed[static_cast<size_t>(j)])
        each(part, j, std::abs(dot(force.data(), columns_.column(j), columns_.n)));
    }
  }
}

void LassoState::screen(double lambda, double previous) {
  const double bound = std::max(2 * lambda - previous, 0.0);
  each_gradient([&](size_t part, int64_t j, double gradient) {
    auto& linear = part < experts_.size() ? experts_[part] : gates_[part - experts_.size()];
    if (gradient >= bound) linear.admit(j);
  });
}

int64_t LassoState::admit_violators(double lambda, double slack, double& gap) {
  int64_t admitted = 0;
  gap = 0;
  each_gradient([&](size_t part, int64_t j, double gradient) {
    auto& linear = part < experts_.size() ? experts_[part] : gates_[part - experts_.size()];
    if (linear.slope[static_cast<size_t>(j)] != 0) return;
    gap = std::max(gap, gradient - lambda);
    if (linear.in_working[static_cast<size_t>(j)] || gradient <= lambda * (1 + slack)) return;
    linear.admit(j);
    ++admitted;
  });
  return admitted;
}

double LassoState::largest_gradient() const {
  double largest = 0;
  each_gradient([&](size_t, int64_t, double gradient) { largest = std::max(largest, gradient); });
  return largest;
}

LassoFit LassoState::result(double lambda) const {
  LassoFit fit;
  fit.lambda = lambda;
  fit.log_likelihood = log_likelihood_;
  fit.penalty = penalty(lambda);
  fit.objective = -log_likelihood_ / static_cast<double>(columns_.n) + fit.penalty;
  auto& p = fit.parameters;
  p.experts = experts(), p.gate_inputs = p.inputs = columns_.p, p.outputs = 1;
  const auto in_units = [&](const LassoLinear& linear, std::vector<double>& intercepts,
                            std::vector<double>& slopes) {
    double intercept = linear.intercept;
    for (size_t j = 0; j < linear.slope.size(); ++j) {
      slopes.push_back(linear.slope[j] / columns_.deviation[j]);
      intercept -= slopes.back() * columns_.mean[j];
    }
    intercepts.push_back(intercept);
  };
  for (size_t k = 0; k < experts_.size(); ++k) {
    in_units(experts_[k], p.intercept, p.slope);
    in_units(gates_[k], p.gate_bias, p.gate_slope);
    p.scale.push_back(std::sqrt(variance_[k]));
    fit.expert_slopes += experts_[k].count();
    fit.gate_slopes += gates_[k].count();
  }
  return fit;
}

}  // namespace gw::likelihood
