#include "gatewright/likelihood/density.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <optional>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/chunks.h"

namespace gw::likelihood {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double input(const std::optional<std::vector<int64_t>>& columns, const double* x, int64_t j) {
  return x[columns ? (*columns)[static_cast<size_t>(j)] : j];
}

// Sets all but the top_k largest to -infinity.
void keep_largest(const double* rank, int64_t k, int64_t keep, double* score) {
  std::vector<int64_t> order(static_cast<size_t>(k));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return rank[a] > rank[b]; });
  for (int64_t i = keep; i < k; ++i) score[order[static_cast<size_t>(i)]] = kNever;
}

double log_logistic_density(const double* predictor, int64_t outputs, int64_t chosen) {
  double largest = 0;
  for (int64_t s = 0; s < outputs; ++s) largest = std::max(largest, predictor[s]);
  double sum = std::exp(-largest);
  for (int64_t s = 0; s < outputs; ++s) sum += std::exp(predictor[s] - largest);
  return (chosen < outputs ? predictor[chosen] : 0.0) - largest - std::log(sum);
}

double log_scale_density(Family family, double residual, double scale, double freedom) {
  const double r = residual / scale;
  switch (family) {
    case Family::kGaussian:
      return -0.5 * r * r - std::log(scale) - 0.5 * std::log(2 * std::numbers::pi);
    case Family::kLaplace:
      return -std::abs(r) - std::log(2 * scale);
    default:
      return std::lgamma((freedom + 1) / 2) - std::lgamma(freedom / 2) -
             0.5 * std::log(freedom * std::numbers::pi) - std::log(scale) -
             (freedom + 1) / 2 * std::log1p(r * r / freedom);
  }
}

template <class Row>
std::vector<double> over_rows(const DataView& data, int64_t width, Row row) {
  std::vector<double> out(static_cast<size_t>(data.n * width));
  const Chunks chunks(data.n);
  parallel_for(chunks.count(), [&](int64_t c) {
    for (int64_t i = chunks.begin(c); i < chunks.end(c); ++i) row(i, out.data() + i * width);
  });
  return out;
}

}  // namespace

double log_sum_exp(const double* values, int64_t count) {
  const double largest = *std::max_element(values, values + count);
  if (largest == kNever) return kNever;
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(values[i] - largest);
  return largest + std::log(sum);
}

double activate(const Activation& activation, double u) { return activation.value(u); }
double activate_slope(const Activation& activation, double u) { return activation.slope(u); }

void log_gates(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double* out) {
  const auto& gate = spec.gate;
  std::vector<double> rank(gate.kind == GateKind::kTopK ? static_cast<size_t>(p.experts) : 0);
  for (int64_t k = 0; k < p.experts; ++k) {
    const double* slope = p.gate_slope.data() + k * p.gate_inputs;
    const double bias = p.gate_bias[static_cast<size_t>(k)];
    double u = 0;
    for (int64_t j = 0; j < p.gate_inputs; ++j) {
      const double v = input(gate.columns, x, j);
      u +=
          slope[j] * (gate.kind == GateKind::kModified ? activate(gate.activation, gate.input_scale * v) : v);
    }
    out[k] =
        (gate.kind == GateKind::kDenseToSparse ? activate(gate.activation, u) / p.temperature : u) + bias;
    if (!rank.empty()) rank[static_cast<size_t>(k)] = gate.select_with_bias ? out[k] : u;
  }
  if (!rank.empty()) keep_largest(rank.data(), p.experts, gate.top_k, out);
  const double total = log_sum_exp(out, p.experts);
  for (int64_t k = 0; k < p.experts; ++k) out[k] -= total;
}

void expert_predictors(const MixtureSpec& spec, const MixtureParameters& p, int64_t expert, const double* x,
                       double* out) {
  for (int64_t s = 0; s < p.outputs; ++s) {
    const int64_t row = expert * p.outputs + s;
    double sum = p.intercept[static_cast<size_t>(row)];
    const double* slope = p.slope.data() + row * p.inputs;
    for (int64_t j = 0; j < p.inputs; ++j) sum += slope[j] * input(spec.columns, x, j);
    out[s] = sum;
  }
}

double expert_log_density_at(const MixtureSpec& spec, const MixtureParameters& p, int64_t expert,
                             const double* predictor, double y) {
  if (spec.family == Family::kMultinomial)
    return log_logistic_density(predictor, p.outputs, static_cast<int64_t>(y));
  const auto e = static_cast<size_t>(expert);
  return log_scale_density(spec.family, y - predictor[0], p.scale[e], p.freedom.empty() ? 0 : p.freedom[e]);
}

double expert_log_density(const MixtureSpec& spec, const MixtureParameters& p, int64_t expert,
                          const double* x, double y) {
  std::vector<double> predictor(static_cast<size_t>(p.outputs));
  expert_predictors(spec, p, expert, x, predictor.data());
  return expert_log_density_at(spec, p, expert, predictor.data(), y);
}

double log_density(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double y,
                   double* responsibility) {
  std::vector<double> prior(static_cast<size_t>(p.experts));
  log_gates(spec, p, x, prior.data());
  std::vector<double> joint = prior;
  for (int64_t k = 0; k < p.experts; ++k) {
    auto& value = joint[static_cast<size_t>(k)];
    if (value > kNever) value += expert_log_density(spec, p, k, x, y);
  }
  const double total = log_sum_exp(joint.data(), p.experts);
  for (int64_t k = 0; responsibility != nullptr && k < p.experts; ++k) {
    // Where every density underflows even as a logarithm, the prior is all that is known.
    responsibility[k] =
        std::exp(total > kNever ? joint[static_cast<size_t>(k)] - total : prior[static_cast<size_t>(k)]);
  }
  return total;
}

double log_likelihood(const MixtureSpec& spec, const MixtureParameters& p, const DataView& data) {
  return sum_rows(data.n, [&](int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) {
      const double weight = data.weight != nullptr ? data.weight[i] : 1;
      if (weight > 0) sum += weight * log_density(spec, p, data.x + i * data.d, data.y[i]);
    }
    return sum;
  });
}

std::vector<double> log_densities(const MixtureSpec& spec, const MixtureParameters& p, const DataView& data) {
  return over_rows(
      data, 1, [&](int64_t i, double* out) { *out = log_density(spec, p, data.x + i * data.d, data.y[i]); });
}

std::vector<double> responsibilities(const MixtureSpec& spec, const MixtureParameters& p,
                                     const DataView& data) {
  return over_rows(data, p.experts, [&](int64_t i, double* out) {
    log_density(spec, p, data.x + i * data.d, data.y[i], out);
  });
}

std::vector<double> gate_probabilities(const MixtureSpec& spec, const MixtureParameters& p,
                                       const DataView& data) {
  return over_rows(data, p.experts, [&](int64_t i, double* out) {
    log_gates(spec, p, data.x + i * data.d, out);
    for (int64_t k = 0; k < p.experts; ++k) out[k] = std::exp(out[k]);
  });
}

}  // namespace gw::likelihood
