#include "gatewright/likelihood/gate_temperature.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {

TemperatureGateStep::TemperatureGateStep(const MixtureSpec& spec, const Design& design)
    : experts_(spec.experts),
      columns_(static_cast<int64_t>(design.gate_input.size()) + 1),
      size_((experts_ - 1) * columns_ + 1),
      activation_(spec.gate.activation) {}

int64_t TemperatureGateStep::sums() const { return size_ + packed_size(size_); }

void TemperatureGateStep::linear_scores(const Block& block, const MixtureParameters& p, double* out) const {
  auto columns = block.gates();
  ++columns.column, --columns.count;
  for (int64_t k = 0; k < experts_; ++k) {
    ops::em_linear(columns, 0, p.gate_slope.data() + k * p.gate_inputs, out + k * Block::kStride);
  }
}

void TemperatureGateStep::scores(const Block& block, const MixtureParameters& p, double* score) const {
  linear_scores(block, p, score);
  for (int64_t k = 0; k < experts_; ++k) {
    double* of = score + k * Block::kStride;
    for (int64_t r = 0; r < block.rows; ++r)
      of[r] = activate(activation_, of[r]) / p.temperature + p.gate_bias[static_cast<size_t>(k)];
  }
}

// With J_k the derivative of expert k's score by all parameters: gradient Σ (t_k - w p_k) J_k and information
// Σ w (Σ_k p_k J_k J_k' - J J'), J = Σ_k p_k J_k. The last expert's slopes are fixed, but its score depends
// on the temperature.
void TemperatureGateStep::accumulate(const Block& block, const MixtureParameters& p,
                                     const double* probability, const double* posterior, double* scratch,
                                     double* sum) const {
  linear_scores(block, p, scratch);
  double* information = sum + size_;
  std::vector<double> jacobian(static_cast<size_t>(experts_ * size_)), mean(static_cast<size_t>(size_));
  for (int64_t r = 0; r < block.rows; ++r) {
    const double weight = block.weight()[r];
    if (weight == 0) continue;
    std::fill(jacobian.begin(), jacobian.end(), 0.0), std::fill(mean.begin(), mean.end(), 0.0);
    for (int64_t k = 0; k < experts_; ++k) {
      double* row = jacobian.data() + k * size_;
      const double u = scratch[k * Block::kStride + r],
                   slope = activate_slope(activation_, u) / p.temperature;
      if (k + 1 < experts_) {
        row[k * columns_] = 1;
        for (int64_t j = 1; j < columns_; ++j)
          row[k * columns_ + j] = slope * block.gate[static_cast<size_t>(j)][r];
      }
      row[size_ - 1] = -activate(activation_, u) / p.temperature;
      const double chance = probability[k * Block::kStride + r],
                   surprise = posterior[k * Block::kStride + r] - weight * chance;
      for (int64_t i = 0; i < size_; ++i)
        sum[i] += surprise * row[i], mean[static_cast<size_t>(i)] += chance * row[i];
      for (int64_t i = 0; i < size_; ++i) {
        for (int64_t j = 0; row[i] != 0 && j <= i; ++j)
          information[packed_at(i, j)] += weight * chance * row[i] * row[j];
      }
    }
    for (int64_t i = 0; i < size_; ++i) {
      for (int64_t j = 0; j <= i; ++j)
        information[packed_at(i, j)] -= weight * mean[static_cast<size_t>(i)] * mean[static_cast<size_t>(j)];
    }
  }
}

void TemperatureGateStep::update(const MixtureParameters& p, const double* sum,
                                 MixtureParameters& target) const {
  constexpr double kLongestStep = 2;  // a factor e^2 of the temperature
  auto step = solve_packed(sum + size_, size_, sum);
  double longest = 0;
  for (const double value : step) longest = std::max(longest, std::abs(value));
  for (auto& value : step) value *= longest > kLongestStep ? kLongestStep / longest : 1;
  for (int64_t k = 0; k + 1 < experts_; ++k) {
    const double* of = step.data() + k * columns_;
    target.gate_bias[static_cast<size_t>(k)] = p.gate_bias[static_cast<size_t>(k)] + of[0];
    for (int64_t j = 0; j < p.gate_inputs; ++j) {
      const auto at = static_cast<size_t>(k * p.gate_inputs + j);
      target.gate_slope[at] = p.gate_slope[at] + of[1 + j];
    }
  }
  if (experts_ > 1) target.temperature = p.temperature * std::exp(step.back());
}

}  // namespace gw::likelihood
