#pragma once
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// Normal experts: weighted least squares from moments. The exponent of their density is a kernel's.
class GaussianStep : public ExpertStep {
 public:
  GaussianStep(const MixtureSpec& spec, const Design& design, const FitOptions& options);
  int64_t sums() const override;
  int64_t mass_at(int64_t expert) const override { return expert * packed_size(columns_ + 1); }
  void densities(const Block& block, const MixtureParameters& parameters, double* joint,
                 double* scratch) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* posterior,
                  double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;

 private:
  int64_t experts_, columns_;  // columns: ones and inputs
  const LocationScale& law_;
  double min_scale_, least_mass_;
};

/// Least squares from the moments of ones, inputs and response (packed, response last): coefficients and the
/// residual sum of squares.
struct LeastSquares {
  std::vector<double> coefficient;
  double residual = 0;
};
LeastSquares least_squares(const double* moments, int64_t columns);
/// Gives expert `k` of `target` that line; the residual sum of squares.
double fit_line(const double* moments, int64_t columns, int64_t k, MixtureParameters& target);

}  // namespace gw::likelihood
