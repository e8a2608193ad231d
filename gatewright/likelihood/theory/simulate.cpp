#include "gatewright/likelihood/theory/simulate.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"

namespace gw::likelihood {
namespace {

double draw_input(const InputDistribution& design, const Rng& rng, uint64_t i) {
  return design.kind == InputDistribution::Kind::kNormal
             ? normal_draw(rng, i)
             : design.lo + (design.hi - design.lo) * rng.uniform(i);
}

size_t draw_from_logs(const std::vector<double>& logs, double u) {
  double sum = 0;
  size_t last = 0;
  for (size_t k = 0; k < logs.size(); ++k) {
    const double share = std::exp(logs[k]);
    if (share > 0) last = k;
    sum += share;
    if (u < sum) return k;
  }
  return last;  // rounding left the sum below u
}

// The true expert that each fitted one copies. The last copies the last true one: both gates are pinned to
// zero.
std::vector<int64_t> originals(int64_t true_experts, int64_t experts, const StartNoise& noise,
                               const Rng& draws) {
  const int64_t extra = experts - true_experts;
  std::vector<int64_t> original;
  for (int64_t k = 0; k < extra; ++k)
    original.push_back(noise.copy_of >= 0
                           ? noise.copy_of
                           : static_cast<int64_t>(
                                 draws.below(static_cast<uint64_t>(k), static_cast<uint64_t>(true_experts))));
  for (int64_t k = 0; k < true_experts; ++k) original.push_back(k);
  return original;
}

/// The first expert, a copy, takes from the first class of its original a share of what the second has, and
/// the original the other way round: with equal weights the mixture of the two is the constant expert that
/// they stand for, whatever the share.
void split_constant(const StartNoise& noise, const MixtureParameters& truth, size_t original,
                    MixtureParameters& start) {
  if (noise.split == 0) return;
  GW_CHECK(start.experts > truth.experts,
           "theory/simulate: expected more experts than the {} true ones where one is split, got {}",
           truth.experts, start.experts);
  const auto outputs = static_cast<size_t>(truth.outputs),
             at = original + static_cast<size_t>(start.experts - truth.experts);
  const auto odds = [&](size_t o) {
    return o < outputs ? std::exp(truth.intercept[original * outputs + o]) : 1.0;
  };
  const double moved = noise.split * std::min(odds(0), odds(1));
  for (const double sign : {1.0, -1.0}) {
    double* to = start.intercept.data() + (sign > 0 ? 0 : at * outputs);
    const double first = odds(0) + sign * moved, second = odds(1) - sign * moved;
    to[0] = std::log(first / (outputs > 1 ? 1 : second));
    if (outputs > 1) to[1] = std::log(second);
  }
}

void check_start(const MixtureParameters& truth, int64_t experts, const StartNoise& noise) {
  GW_CHECK(experts >= truth.experts, "theory/simulate: expected at least the {} true experts, got {}",
           truth.experts, experts);
  GW_CHECK(noise.copy_of < truth.experts,
           "theory/simulate: expected copy_of below the {} true experts, got {}", truth.experts,
           noise.copy_of);
}

/// Gates of the extra experts, which come first, are moved apart from those that they copy.
void move_spares(const StartNoise& noise, const MixtureParameters& truth, MixtureParameters& start) {
  for (int64_t k = 0; k + truth.experts < start.experts; ++k) {
    start.gate_bias[static_cast<size_t>(k)] += noise.spare_bias;
    for (int64_t j = 0; j < truth.gate_inputs; ++j)
      start.gate_slope[static_cast<size_t>(k * truth.gate_inputs + j)] += noise.spare_slope;
  }
}

}  // namespace

double normal_draw(const Rng& rng, uint64_t i) { return normal_quantile(rng.uniform(i) + 0x1.0p-54); }

DataView SimulatedData::view() const {
  return {static_cast<int64_t>(y.size()), d, x.data(), y.data(), nullptr};
}

SimulatedData simulate(const MixtureSpec& spec, const MixtureParameters& truth,
                       const InputDistribution& design, int64_t n, const Rng& rng) {
  const Rng inputs = rng.fork("inputs"), experts = rng.fork("experts"), responses = rng.fork("responses");
  SimulatedData data;
  data.d = design.d;
  std::vector<double> gates(static_cast<size_t>(truth.experts)),
      predictors(static_cast<size_t>(truth.outputs));
  for (int64_t i = 0; i < n; ++i) {
    const auto row = static_cast<uint64_t>(i);
    for (int64_t j = 0; j < design.d; ++j)
      data.x.push_back(
          draw_input(design, inputs, row * static_cast<uint64_t>(design.d) + static_cast<uint64_t>(j)));
    const double* x = data.x.data() + i * design.d;
    log_gates(spec, truth, x, gates.data());
    const size_t k = draw_from_logs(gates, experts.uniform(row));
    expert_predictors(spec, truth, static_cast<int64_t>(k), x, predictors.data());
    data.expert.push_back(static_cast<int64_t>(k));
    const auto at = expert_at(truth, static_cast<int64_t>(k), predictors.data());
    data.y.push_back(spec.family->draw(at, responses.uniform(row)));
  }
  return data;
}

InputNodes nodes_of(const InputDistribution& design, int64_t count) {
  GW_CHECK(design.d == 1, "theory/simulate: expected a design of 1 column for quadrature, got {}", design.d);
  return design.kind == InputDistribution::Kind::kNormal ? normal_nodes(count)
                                                         : uniform_nodes(design.lo, design.hi, count);
}

MixtureParameters start_near(const MixtureParameters& truth, int64_t experts, int64_t n,
                             const StartNoise& noise, const Rng& rng) {
  check_start(truth, experts, noise);
  const Rng draws = rng.fork("start"), moves = rng.fork("moves");
  const double shrink = std::pow(static_cast<double>(n), -noise.power), sd = noise.amount * shrink;
  const double gate_sd = (noise.gate_amount < 0 ? noise.amount : noise.gate_amount) * shrink;
  const double variance_sd = noise.variance_amount * std::pow(static_cast<double>(n), -noise.variance_power);
  const auto original = originals(truth.experts, experts, noise, draws);
  MixtureParameters start = truth;
  start.experts = experts;
  uint64_t draw = 0;
  // `moved`: how many of the fitted experts get noise.
  const auto copy = [&](const std::vector<double>& from, std::vector<double>& to, int64_t width,
                        double factor, int64_t moved, double noise_sd) {
    to.clear();
    for (int64_t k = 0; k < experts; ++k)
      for (int64_t c = 0; c < width; ++c, ++draw)
        to.push_back(factor * from[static_cast<size_t>(original[static_cast<size_t>(k)] * width + c)] +
                     (k < moved ? noise_sd * normal_draw(moves, draw) : 0));
  };
  copy(truth.gate_bias, start.gate_bias, 1, 1, experts - 1, gate_sd);  // the last gate is pinned
  copy(truth.gate_slope, start.gate_slope, truth.gate_inputs, noise.ridge, experts - 1, gate_sd);
  copy(truth.intercept, start.intercept, truth.outputs, 1, experts, sd);
  copy(truth.slope, start.slope, truth.outputs * truth.inputs, 1, experts, sd);
  split_constant(noise, truth, static_cast<size_t>(original[0]), start);
  move_spares(noise, truth, start);
  start.temperature = truth.temperature * noise.ridge;
  start.scale.clear();
  for (size_t k = 0; k < original.size(); ++k) {
    const auto j = static_cast<size_t>(original[k]);
    start.gate_bias[k] -=
        std::log(static_cast<double>(std::count(original.begin(), original.end(), original[k])));
    if (!truth.scale.empty())
      start.scale.push_back(
          std::sqrt(truth.scale[j] * truth.scale[j] + variance_sd * std::abs(normal_draw(moves, draw++))));
  }
  return start;
}

}  // namespace gw::likelihood
