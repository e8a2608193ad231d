#pragma once
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

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

}  // namespace gw::likelihood
