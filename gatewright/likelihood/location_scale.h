#pragma once
// Families of noise around a line: y = η + s·r, where the law of r is the family's own.
#include "gatewright/likelihood/family.h"

namespace gw::likelihood {

/// log f(y) = constant(s, shape) - cost(r, shape) with r = (y - η) / s. A family needs these two, the first
/// two derivatives of the cost, and the distribution function; all else follows, an M-step among it.
class LocationScale : public Density {
 public:
  const LocationScale* location_scale() const final { return this; }

  virtual double constant(double scale, double shape) const = 0;
  virtual double cost(double r, double shape) const = 0;
  virtual double pull(double r, double shape) const = 0;        ///< ∂cost/∂r
  virtual double pull_slope(double r, double shape) const = 0;  ///< ∂²cost/∂r², without a kink at 0
  virtual double kink() const { return 0; }                     ///< jump of `pull` at 0

  virtual double cdf(double r, double shape) const = 0;  ///< P(R <= r)
  /// Its inverse. Cost: up to 100 calls of `cdf` where a family does not know better.
  virtual double quantile(double probability, double shape) const;
  /// Variance of r, by which predictions weigh the noise against what the line is uncertain; 1 where there is
  /// none that helps.
  virtual double variance(double shape) const = 0;
  /// Information of one row about log s: 2 of a normal law.
  virtual double scale_information() const { return 2; }
  /// Normal noise: the maximum is least squares, and coefficients follow Student's t.
  virtual bool least_squares() const { return false; }

  double log_density(const ExpertAt& at, double y) const override;
  /// By log shape: 0, for families that have none.
  void derivatives(const ExpertAt& at, double y, double* first, double* second) const override;
  double draw(const ExpertAt& at, double uniform) const override;
  /// Reweighted least squares (gatewright/likelihood/reweighted_step.h), for costs whose pull(r) / r falls in
  /// |r| and that have no shape.
  std::unique_ptr<ExpertStep> step(const MixtureSpec& spec, const Design& design,
                                   const FitOptions& options) const override;
};

}  // namespace gw::likelihood
