#pragma once
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// Least squares with weights that fall with the residual.
/// Math:   cost(r) <= cost(c) + ½ w (r² - c²), w = pull(c) / c, where pull(r) / r falls in |r| (de Leeuw and
///         Lange 2009): given the posteriors t, the line of weights t w and s² = Σ t w e² / Σ t lower a bound
///         that touches, and so raise the likelihood.
/// A family overrides what it knows better; arrays are those of one expert in one block.
class ReweightedStep : public ExpertStep {
 public:
  ReweightedStep(const LocationScale& law, const MixtureSpec& spec, const Design& design,
                 const FitOptions& options);
  int64_t sums() const override { return experts_ * per_expert(); }
  int64_t mass_at(int64_t expert) const override { return expert * per_expert() + packed_size(columns_ + 1); }
  int64_t scratch() const override { return 2 * experts_ + 1; }
  void densities(const Block& block, const MixtureParameters& parameters, double* joint,
                 double* scratch) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* posterior,
                  double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;

 protected:
  /// Residuals in scales come in `kept`, which with `spare` may carry anything over to `weigh`.
  struct Rows {
    int64_t count;
    double *kept, *spare;
  };
  virtual void log_densities(const MixtureParameters& parameters, size_t expert, const Rows& rows,
                             double* out) const;
  /// weight = t w; adds to the family's own `extra` sums.
  virtual void weigh(const MixtureParameters& parameters, size_t expert, const Rows& rows,
                     const double* posterior, double* weight, double* extra) const;
  virtual int64_t extra_sums() const { return 0; }
  /// Scale and shape of `target`; `residual`: the weighted sum of squares.
  virtual void finish(const MixtureParameters& parameters, size_t expert, double mass, double residual,
                      const double* extra, MixtureParameters& target) const;

  double min_scale_;

 private:
  // Per expert: moments of the reweighted rows, the posterior's mass, the family's own sums.
  int64_t per_expert() const { return packed_size(columns_ + 1) + 1 + extra_sums(); }
  void residuals(const Block& block, const MixtureParameters& parameters, int64_t expert, double* out) const;
  const LocationScale& law_;
  int64_t experts_, columns_;
  double least_mass_;
};

}  // namespace gw::likelihood
