#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {
namespace {

/// Dense-to-sparse gates, A(b1·x) / T + b0, with the temperature estimated through its logarithm: damped
/// Fisher scoring.
/// With a linear A the information is singular along (b1, T) → (c·b1, c·T); the step has no component there.
class TemperatureGateStep : public GateStep {
 public:
  TemperatureGateStep(const MixtureSpec& spec, const Design& design);
  int64_t sums() const override;
  int64_t scratch() const override { return experts_; }
  void scores(const Block& block, const MixtureParameters& parameters, double* score) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* probability,
                  const double* posterior, double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;

 private:
  void linear_scores(const Block& block, const MixtureParameters& parameters, double* out) const;
  int64_t experts_, columns_, size_;  // size: parameters, those of the free gates and the temperature
  Activation activation_;
};

TemperatureGateStep::TemperatureGateStep(const MixtureSpec& spec, const Design& design)
    : experts_(spec.experts),
      columns_(static_cast<int64_t>(design.gate_input.size()) + 1),
      size_((experts_ - 1) * columns_ + 1),
      activation_(spec.gate.activation) {}

int64_t TemperatureGateStep::sums() const { return size_ + packed_size(size_); }

void TemperatureGateStep::linear_scores(const Block& block, const MixtureParameters& p, double* out) const {
  const auto columns = Block::beside_ones(block.gates());
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
                   posterior_minus_prior = posterior[k * Block::kStride + r] - weight * chance;
      for (int64_t i = 0; i < size_; ++i)
        sum[i] += posterior_minus_prior * row[i], mean[static_cast<size_t>(i)] += chance * row[i];
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

/// softmax(A(b1·x) / T + b0), the temperature T estimated, A the identity or an activation.
/// Source: Nguyen, Akbarian, Ho 2024, Is Temperature Sample Efficient for Softmax Gaussian Mixture of
/// Experts?
class DenseToSparse : public GateForm {
 public:
  static constexpr const char* kSummary = "softmax over activated scores divided by an estimated temperature";
  static constexpr const char* kSource =
      "Nguyen, Akbarian, Ho 2024, Is Temperature Sample Efficient for Softmax Gaussian Mixture of Experts?";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  DenseToSparse(const Options&, const Context&) {}

  std::vector<std::string> options() const override { return {"activation"}; }
  bool tempered() const override { return true; }
  bool linear(const GateSpec& gate) const override { return gate.activation == Activation::kIdentity; }
  double value(const GateSpec& gate, double u) const override { return gate.activation.value(u); }
  double slope(const GateSpec& gate, double u) const override { return gate.activation.slope(u); }
  double bend(const GateSpec& gate, double u) const override { return gate.activation.bend(u); }
  std::unique_ptr<GateStep> step(const MixtureSpec& spec, const Design& design,
                                 const FitOptions&) const override {
    return std::make_unique<TemperatureGateStep>(spec, design);
  }
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::GateForm, likelihood::DenseToSparse);
