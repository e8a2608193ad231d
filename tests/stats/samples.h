#pragma once
#include <cmath>
#include <numbers>
#include <vector>

#include "base/rng.h"
#include "stats/density.h"

namespace gw::testing {

struct Sample {
  std::vector<double> x, y;
  stats::DataView view() const {
    const auto n = static_cast<int64_t>(y.size());
    return {n, static_cast<int64_t>(x.size()) / n, x.data(), y.data(), nullptr};
  }
};

/// The i-th standard normal of a stream.
inline double normal(const Rng& rng, uint64_t i) {
  return std::sqrt(-2 * std::log(1 - rng.uniform(2 * i))) * std::cos(2 * std::numbers::pi * rng.uniform(2 * i + 1));
}

/// Two lines that cross: 1 - 2x with deviation 0.3, where x is large, and -1 + 3x with deviation 0.5.
inline stats::MixtureParameters crossing_lines_truth() {
  auto p = stats::make_parameters({}, 1);
  p.gate_bias = {-0.5, 0}, p.gate_slope = {2.5, 0};
  p.intercept = {1, -1}, p.slope = {-2, 3}, p.scale = {0.3, 0.5};
  return p;
}

inline Sample crossing_lines(int64_t n, uint64_t seed) {
  const auto p = crossing_lines_truth();
  const Rng rng = Rng(seed).fork("tests/crossing_lines");
  Sample sample;
  for (int64_t i = 0; i < n; ++i) {
    const auto draw = static_cast<uint64_t>(i);
    const double x = 4 * rng.fork("x").uniform(draw) - 2;
    double gates[2];
    stats::log_gates({}, p, &x, gates);
    const size_t k = std::log(rng.fork("expert").uniform(draw)) < gates[0] ? 0 : 1;
    sample.x.push_back(x);
    sample.y.push_back(p.intercept[k] + p.slope[k] * x + p.scale[k] * normal(rng.fork("noise"), draw));
  }
  return sample;
}

}  // namespace gw::testing
