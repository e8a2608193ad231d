#include "gatewright/likelihood/density.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/gate_form.h"

namespace gw::likelihood {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double input(const std::optional<std::vector<int64_t>>& columns, const double* x, int64_t j) {
  return x[columns ? (*columns)[static_cast<size_t>(j)] : j];
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

void keep_largest(const double* rank, int64_t count, int64_t keep, double* score) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return rank[a] > rank[b]; });
  for (int64_t i = keep; i < count; ++i) score[order[static_cast<size_t>(i)]] = kNever;
}

void log_gates(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double* out) {
  const auto& gate = spec.gate;
  const auto& form = *gate.kind;
  const int64_t active = form.active(gate, p.experts);
  const bool transforms = form.transforms();
  const double temperature = form.temperature(p);
  std::vector<double> rank(active < p.experts ? static_cast<size_t>(p.experts) : 0);
  for (int64_t k = 0; k < p.experts; ++k) {
    const double* slope = p.gate_slope.data() + k * p.gate_inputs;
    const double bias = p.gate_bias[static_cast<size_t>(k)];
    double u = 0;
    for (int64_t j = 0; j < p.gate_inputs; ++j) {
      const double v = input(gate.columns, x, j);
      u += slope[j] * (transforms ? form.transformed(gate, v) : v);
    }
    out[k] = form.value(gate, u) / temperature + bias;
    if (!rank.empty()) rank[static_cast<size_t>(k)] = gate.select_with_bias ? out[k] : u;
  }
  if (!rank.empty()) keep_largest(rank.data(), p.experts, active, out);
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
  return spec.family->log_density(expert_at(p, expert, predictor), y);
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
