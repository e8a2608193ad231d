#include "gatewright/likelihood/predict.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/density.h"

namespace gw::likelihood {
namespace {

/// Regularised incomplete beta function by its continued fraction (modified Lentz), for x < (a + 1)/(a + b +
/// 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m < 500; ++m) {
    for (const double term : {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                              -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 + term * d, c = 1 + term / c;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d), c = std::abs(c) < kTiny ? kTiny : c;
      value *= c * d;
      if (std::abs(c * d - 1) < 1e-15) return value;
    }
  }
  return value;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double standard_cdf(Family family, double r, double freedom) {
  if (family == Family::kGaussian) return 0.5 * std::erfc(-r / std::numbers::sqrt2);
  if (family == Family::kLaplace) return r < 0 ? 0.5 * std::exp(r) : 1 - 0.5 * std::exp(-r);
  const double tail = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + r * r));
  return r < 0 ? tail : 1 - tail;
}

std::vector<double> gates_at(const MixtureSpec& spec, const MixtureParameters& p, const double* x) {
  std::vector<double> gate(static_cast<size_t>(p.experts));
  log_gates(spec, p, x, gate.data());
  for (auto& value : gate) value = std::exp(value);
  return gate;
}

double mixture_mean(const MixtureSpec& spec, const MixtureParameters& p, const double* x) {
  const auto gate = gates_at(spec, p, x);
  double sum = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    expert_predictors(spec, p, k, x, &mean);
    sum += gate[static_cast<size_t>(k)] * mean;
  }
  return sum;
}

/// Linear score b1·x of one gate, before its activation.
double gate_score(const MixtureSpec& spec, const MixtureParameters& p, size_t expert, const double* x) {
  double score = 0;
  for (int64_t j = 0; j < p.gate_inputs; ++j) {
    const int64_t column = spec.gate.columns ? (*spec.gate.columns)[static_cast<size_t>(j)] : j;
    score += p.gate_slope[expert * static_cast<size_t>(p.gate_inputs) + static_cast<size_t>(j)] * x[column];
  }
  return score;
}

/// d mean / d θ in natural units, in the order of free_parameter_list; scales and degrees of freedom do not
/// move the mean.
std::vector<double> mean_gradient(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
                                  const std::vector<FreeParameter>& list) {
  using Kind = FreeParameter::Kind;
  const auto gate = gates_at(spec, p, x);
  const bool tempered = spec.gate.kind == GateKind::kDenseToSparse,
             modified = spec.gate.kind == GateKind::kModified;
  std::vector<double> expert(gate.size()), by_score(gate.size()), factor(gate.size(), 1.0), gradient;
  double mean = 0, by_temperature = 0;
  for (size_t k = 0; k < gate.size(); ++k)
    expert_predictors(spec, p, static_cast<int64_t>(k), x, &expert[k]), mean += gate[k] * expert[k];
  for (size_t k = 0; k < gate.size(); ++k) {
    by_score[k] = gate[k] * (expert[k] - mean);
    if (!tempered) continue;
    const double u = gate_score(spec, p, k, x);
    factor[k] = activate_slope(spec.gate.activation, u) / p.temperature;
    by_temperature -= by_score[k] * activate(spec.gate.activation, u) / (p.temperature * p.temperature);
  }
  for (const auto& free : list) {
    const auto k = static_cast<size_t>(free.expert);
    const double v = free.column < 0 ? 1 : x[free.column];
    const bool line = free.kind == Kind::kIntercept || free.kind == Kind::kSlope;
    if (free.kind == Kind::kGateSlope)
      gradient.push_back(by_score[k] * factor[k] *
                         (modified ? activate(spec.gate.activation, spec.gate.input_scale * v) : v));
    else if (free.kind == Kind::kGateBias)
      gradient.push_back(by_score[k]);
    else
      gradient.push_back(free.kind == Kind::kTemperature ? by_temperature : line ? gate[k] * v : 0);
  }
  return gradient;
}

/// sqrt(g' C g); absent where g depends on what the data do not determine: where one standardised unit along
/// such a direction moves the quantity by more than a thousandth of its error.
std::optional<double> delta_error(const std::vector<double>& gradient, const Inference& inference) {
  const size_t size = gradient.size();
  double variance = 0;
  for (size_t k = 0; k < size; ++k) {
    double part = 0;
    for (size_t i = 0; i < size; ++i) part += gradient[i] * inference.factor[i * size + k];
    variance += part * part;
  }
  const double error = std::sqrt(variance);
  for (const auto& direction : inference.undetermined) {
    double part = 0;
    for (size_t i = 0; i < size; ++i) part += gradient[i] * direction[i];
    if (!(std::abs(part) <= 1e-3 * error)) return std::nullopt;
  }
  return error > 0 && std::isfinite(error) ? std::optional(error) : std::nullopt;
}

/// Experts as they are predicted from: noise and the uncertainty of line and scale together.
struct Widened {
  MixtureSpec spec;
  MixtureParameters parameters;
};

/// Variance of the noise of an expert in units of its squared scale; Student's t below 3 degrees has none
/// that helps.
double noise_variance(Family family, double freedom) {
  if (family == Family::kLaplace) return 2;
  return family == Family::kStudentT && freedom > 3 ? freedom / (freedom - 2) : 1;
}

/// Rows that an expert's scale s rests on are 1 / (2 Var log s) for normal noise (1 / Var log s for
/// Laplace's); less the coefficients they are its degrees of freedom, and s² grows by the ratio of the two.
Widened widen(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
              const Inference& inference) {
  Widened result{spec, p};
  const bool normal = spec.family == Family::kGaussian;
  if (normal) result.spec.family = Family::kStudentT, result.parameters.freedom.assign(p.scale.size(), 1e6);
  for (size_t i = 0; i < inference.parameter.size(); ++i) {
    if (inference.parameter[i].kind != FreeParameter::Kind::kScale || !inference.error[i]) continue;
    const int64_t expert = inference.parameter[i].expert;
    const auto k = static_cast<size_t>(expert);
    std::vector<double> line;
    for (const auto& free : inference.parameter) {
      const bool own = free.expert == expert;
      line.push_back(own && free.kind == FreeParameter::Kind::kIntercept ? 1
                     : own && free.kind == FreeParameter::Kind::kSlope   ? x[free.column]
                                                                         : 0);
    }
    const double log_error = *inference.error[i] / p.scale[k],
                 coefficients = static_cast<double>(p.inputs + 1);
    const double rows = 1 / ((spec.family == Family::kLaplace ? 1 : 2) * log_error * log_error);
    const double freedom = std::clamp(rows - coefficients, 1.0, 1e6);
    const double noise = noise_variance(spec.family, p.freedom.empty() ? 0 : p.freedom[k]);
    const double shift = delta_error(line, inference).value_or(0) / p.scale[k];
    result.parameters.scale[k] *= std::sqrt((freedom + coefficients) / freedom * (1 + shift * shift / noise));
    if (normal) result.parameters.freedom[k] = freedom;
  }
  return result;
}

void predict_classes(const MixtureSpec& spec, const MixtureParameters& p, const double* x, Prediction& out) {
  for (int64_t s = 0; s < spec.classes; ++s)
    out.classes.push_back(std::exp(log_density(spec, p, x, static_cast<double>(s))));
  out.mean =
      static_cast<double>(std::max_element(out.classes.begin(), out.classes.end()) - out.classes.begin());
}

}  // namespace

double mixture_cdf(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double at) {
  const auto gate = gates_at(spec, p, x);
  double sum = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    const auto e = static_cast<size_t>(k);
    expert_predictors(spec, p, k, x, &mean);
    sum +=
        gate[e] * standard_cdf(spec.family, (at - mean) / p.scale[e], p.freedom.empty() ? 0 : p.freedom[e]);
  }
  return sum;
}

double mixture_quantile(const MixtureSpec& spec, const MixtureParameters& p, const double* x,
                        double probability) {
  GW_CHECK(probability > 0 && probability < 1, "fit: expected a probability between 0 and 1, got {}",
           probability);
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity(),
         widest = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    expert_predictors(spec, p, k, x, &mean);
    low = std::min(low, mean), high = std::max(high, mean),
    widest = std::max(widest, p.scale[static_cast<size_t>(k)]);
  }
  while (mixture_cdf(spec, p, x, low) > probability) low -= widest, widest *= 2;
  while (mixture_cdf(spec, p, x, high) < probability) high += widest, widest *= 2;
  for (int i = 0; i < 200 && high - low > 1e-12 * (std::abs(low) + std::abs(high)); ++i) {
    const double middle = 0.5 * (low + high);
    (mixture_cdf(spec, p, x, middle) < probability ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

Prediction predict(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double level,
                   const Inference* inference) {
  GW_CHECK(level > 0 && level < 1, "fit: expected a level between 0 and 1, got {}", level);
  Prediction out;
  out.gate = gates_at(spec, p, x);
  if (spec.family == Family::kMultinomial) {
    predict_classes(spec, p, x, out);
    return out;
  }
  for (int64_t k = 0; k < p.experts; ++k) expert_predictors(spec, p, k, x, &out.expert.emplace_back());
  out.mean = mixture_mean(spec, p, x);
  const auto from = inference != nullptr ? widen(spec, p, x, *inference) : Widened{spec, p};
  out.low = mixture_quantile(from.spec, from.parameters, x, (1 - level) / 2);
  out.high = mixture_quantile(from.spec, from.parameters, x, (1 + level) / 2);
  if (inference != nullptr)
    out.mean_error = delta_error(mean_gradient(spec, p, x, inference->parameter), *inference);
  return out;
}

}  // namespace gw::likelihood
