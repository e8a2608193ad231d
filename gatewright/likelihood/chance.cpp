#include "gatewright/likelihood/chance.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"

namespace gw::likelihood {
namespace {

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

/// log P(Poisson(mean) >= least). Terms fall at least geometrically once they are past the mean; before it
/// the answer is near 0 anyway.
double log_poisson_tail(double mean, double least) {
  if (least <= mean || least <= 0) return 0;
  double term = 1, sum = 1;
  for (double k = least + 1; term > 1e-12 * sum; ++k) term *= mean / k, sum += term;
  return std::min(0.0, least * std::log(mean) - mean - std::lgamma(least + 1) + std::log(sum));
}

}  // namespace

double expected_by_chance(const MixtureSpec& spec, const MixtureParameters& p, int64_t expert, double mass,
                          const DataView& data, double row_unit) {
  std::vector<double> gates(static_cast<size_t>(p.experts)), rest(gates.size());
  double expected = 0, largest = 0, n = 0;
  const double band =
      2 * std::sqrt(3.0) * p.scale[static_cast<size_t>(expert)];  // a uniform band with the same deviation
  for (int64_t i = 0; i < data.n; ++i) {
    const double weight = data.weight != nullptr ? data.weight[i] * row_unit : 1;
    if (weight == 0) continue;
    n += weight;
    const double* x = data.x + i * data.d;
    log_gates(spec, p, x, gates.data());
    const double own = gates[static_cast<size_t>(expert)];
    largest = std::max(largest, std::exp(own));
    double mean = 0;
    expert_predictors(spec, p, expert, x, &mean);
    rest = gates;
    rest[static_cast<size_t>(expert)] = -HUGE_VAL;
    const double others = log_sum_exp(rest.data(), p.experts);
    if (!std::isfinite(others)) continue;  // the gate leaves nobody else here
    for (int64_t k = 0; k < p.experts; ++k) {
      auto& value = rest[static_cast<size_t>(k)];
      if (std::isfinite(value)) value += expert_log_density(spec, p, k, x, mean) - others;
    }
    expected += weight * band * std::exp(own + log_sum_exp(rest.data(), p.experts));
  }
  const double planes = static_cast<double>(p.inputs + 1), rows = std::floor(mass);
  if (rows <= planes || largest == 0) return HUGE_VAL;
  const double log_tests =
      log_choose(n, planes) + static_cast<double>(p.gate_inputs) * std::log(n) - log_choose(rows, planes);
  return std::exp(log_tests + log_poisson_tail(expected / largest, rows - planes));
}

std::vector<int64_t> chance_experts(const MixtureSpec& spec, const MixtureParameters& p,
                                    const std::vector<double>& mass, const DataView& data, double row_unit) {
  std::vector<int64_t> found;
  if (!spec.family->scaled() || p.experts < 2) return found;
  const double widest = *std::max_element(p.scale.begin(), p.scale.end());
  for (int64_t k = 0; k < p.experts; ++k) {
    if (p.scale[static_cast<size_t>(k)] >= kNarrow * widest) continue;
    if (expected_by_chance(spec, p, k, mass[static_cast<size_t>(k)], data, row_unit) > kChance)
      found.push_back(k);
  }
  return found;
}

}  // namespace gw::likelihood
