#pragma once
#include <cmath>
#include <numbers>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/likelihood/density.h"

namespace gw::test {

struct Sample {
  std::vector<double> x, y;
  likelihood::DataView view() const {
    const auto n = static_cast<int64_t>(y.size());
    return {n, static_cast<int64_t>(x.size()) / n, x.data(), y.data(), nullptr};
  }
};

/// The i-th standard normal of a stream.
inline double normal(const Rng& rng, uint64_t i) {
  return std::sqrt(-2 * std::log(1 - rng.uniform(2 * i))) *
         std::cos(2 * std::numbers::pi * rng.uniform(2 * i + 1));
}

/// Two lines that cross: 1 - 2x with deviation 0.3, where x is large, and -1 + 3x with deviation 0.5.
inline likelihood::MixtureParameters crossing_lines_truth() {
  auto p = likelihood::make_parameters({}, 1);
  p.gate_bias = {-0.5, 0}, p.gate_slope = {2.5, 0};
  p.intercept = {1, -1}, p.slope = {-2, 3}, p.scale = {0.3, 0.5};
  return p;
}

/// n rows with x uniform on [-2, 2] and y from the model; one column.
inline Sample draw_sample(const likelihood::MixtureSpec& spec, const likelihood::MixtureParameters& p,
                          int64_t n, uint64_t seed) {
  const Rng rng = Rng(seed).fork("tests/sample");
  Sample sample;
  std::vector<double> gates(static_cast<size_t>(p.experts)), predictor(static_cast<size_t>(p.outputs));
  for (int64_t i = 0; i < n; ++i) {
    const auto draw = static_cast<uint64_t>(i);
    const double x = 4 * rng.fork("x").uniform(draw) - 2;
    likelihood::log_gates(spec, p, &x, gates.data());
    double left = rng.fork("expert").uniform(draw) - std::exp(gates[0]);
    size_t k = 0;
    while (k + 1 < gates.size() && left >= 0) left -= std::exp(gates[++k]);
    likelihood::expert_predictors(spec, p, static_cast<int64_t>(k), &x, predictor.data());
    const Rng noise = rng.fork("noise", draw);
    double r = normal(noise, 0);
    if (spec.family == likelihood::Family("laplace")) {
      const double u = noise.uniform(9) - 0.5;
      r = (u < 0 ? 1 : -1) * std::log(1 - 2 * std::abs(u));
    } else if (spec.family == likelihood::Family("student_t")) {  // small whole degrees of freedom: a
                                                                  // chi-square is a sum of squares
      double chi = 0;
      for (uint64_t j = 0; j < static_cast<uint64_t>(p.freedom[k]); ++j)
        chi += std::pow(normal(noise, j + 1), 2);
      r /= std::sqrt(chi / p.freedom[k]);
    }
    sample.x.push_back(x);
    if (spec.family == likelihood::Family("multinomial")) {  // two classes
      sample.y.push_back(noise.uniform(3) < 1 / (1 + std::exp(-predictor[0])) ? 0 : 1);
    } else {
      sample.y.push_back(predictor[0] + p.scale[k] * r);
    }
  }
  return sample;
}

inline Sample crossing_lines(int64_t n, uint64_t seed) {
  return draw_sample({}, crossing_lines_truth(), n, seed);
}

}  // namespace gw::test
