#include "stats/predict.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "stats/density.h"

namespace gw::stats {
namespace {

/// Regularised incomplete beta function by its continued fraction (modified Lentz), for x < (a + 1)/(a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m < 500; ++m) {
    for (const double term :
         {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
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
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
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

/// g' C g with g the derivative of the mean by the estimates; parameters without an error do not take part.
std::optional<double> mean_error(const MixtureSpec& spec, const double* x, int64_t d, const Inference& inference) {
  const size_t size = inference.parameter.size();
  auto natural = inference.estimate;
  const auto mean_at = [&](const std::vector<double>& values) {
    auto vector = values;
    for (size_t i = 0; i < size; ++i) vector[i] = inference.parameter[i].logarithmic() ? std::log(values[i]) : values[i];
    return mixture_mean(spec, from_vector(spec, d, vector), x);
  };
  std::vector<double> gradient(size, 0.0);
  for (size_t i = 0; i < size; ++i) {
    if (!inference.error[i] || *inference.error[i] == 0) continue;
    const double step = 1e-4 * *inference.error[i], at = natural[i];
    natural[i] = at + step;
    const double above = mean_at(natural);
    natural[i] = at - step;
    gradient[i] = (above - mean_at(natural)) / (2 * step);
    natural[i] = at;
  }
  double variance = 0;
  for (size_t i = 0; i < size * size; ++i) variance += gradient[i / size] * inference.covariance[i] * gradient[i % size];
  return variance >= 0 ? std::optional(std::sqrt(variance)) : std::nullopt;
}

void predict_classes(const MixtureSpec& spec, const MixtureParameters& p, const double* x, Prediction& out) {
  for (int64_t s = 0; s < spec.classes; ++s) out.classes.push_back(std::exp(log_density(spec, p, x, static_cast<double>(s))));
  out.mean = static_cast<double>(std::max_element(out.classes.begin(), out.classes.end()) - out.classes.begin());
}

}  // namespace

double mixture_cdf(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double at) {
  const auto gate = gates_at(spec, p, x);
  double sum = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    const auto e = static_cast<size_t>(k);
    expert_predictors(spec, p, k, x, &mean);
    sum += gate[e] * standard_cdf(spec.family, (at - mean) / p.scale[e], p.freedom.empty() ? 0 : p.freedom[e]);
  }
  return sum;
}

double mixture_quantile(const MixtureSpec& spec, const MixtureParameters& p, const double* x, double probability) {
  GW_CHECK(probability > 0 && probability < 1, "stats: expected a probability between 0 and 1, got {}", probability);
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity(), widest = 0, mean = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    expert_predictors(spec, p, k, x, &mean);
    low = std::min(low, mean), high = std::max(high, mean), widest = std::max(widest, p.scale[static_cast<size_t>(k)]);
  }
  while (mixture_cdf(spec, p, x, low) > probability) low -= widest, widest *= 2;
  while (mixture_cdf(spec, p, x, high) < probability) high += widest, widest *= 2;
  for (int i = 0; i < 200 && high - low > 1e-12 * (std::abs(low) + std::abs(high)); ++i) {
    const double middle = 0.5 * (low + high);
    (mixture_cdf(spec, p, x, middle) < probability ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

Prediction predict(const MixtureSpec& spec, const MixtureParameters& p, const double* x, int64_t d, double level,
                   const Inference* inference) {
  GW_CHECK(level > 0 && level < 1, "stats: expected a level between 0 and 1, got {}", level);
  Prediction out;
  out.gate = gates_at(spec, p, x);
  if (spec.family == Family::kMultinomial) {
    predict_classes(spec, p, x, out);
    return out;
  }
  for (int64_t k = 0; k < p.experts; ++k) expert_predictors(spec, p, k, x, &out.expert.emplace_back());
  out.mean = mixture_mean(spec, p, x);
  out.low = mixture_quantile(spec, p, x, (1 - level) / 2);
  out.high = mixture_quantile(spec, p, x, (1 + level) / 2);
  if (inference != nullptr) out.mean_error = mean_error(spec, x, d, *inference);
  return out;
}

}  // namespace gw::stats
