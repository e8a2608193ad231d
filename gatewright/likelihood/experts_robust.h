#pragma once
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// Laplace and Student-t experts: least squares with weights that fall with the residual.
///   laplace    |r| ≤ r²/2c + c/2 with equality at c = |r|: weights 1/|r| majorise (Hunter & Lange 2004),
///              scale Σ t|r| / Σ t
///   student_t  latent precisions u = (ν + 1)/(ν + r²/s²) (Lange, Little, Taylor 1989); ν in [1, 200] takes a
///   Newton step of its own, which
///              may have to be shortened
class RobustStep : public ExpertStep {
 public:
  RobustStep(const MixtureSpec& spec, const Design& design, const FitOptions& options);
  int64_t sums() const override;
  int64_t mass_at(int64_t expert) const override { return expert * per_expert() + packed_size(columns_ + 1); }
  int64_t scratch() const override { return 2 * experts_ + 1; }
  void densities(const Block& block, const MixtureParameters& parameters, double* joint,
                 double* scratch) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* posterior,
                  double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;

 private:
  // Per expert: moments of the reweighted rows, then the posterior's mass, then Σ t|r| or what a step of ν
  // needs.
  int64_t per_expert() const;
  void residuals(const Block& block, const MixtureParameters& parameters, int64_t expert, double* out) const;
  int64_t experts_, columns_;
  bool student_;
  double min_scale_, least_mass_;
};

}  // namespace gw::likelihood
