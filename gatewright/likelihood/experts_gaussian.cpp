#include "gatewright/likelihood/experts_gaussian.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {

LeastSquares least_squares(const double* moments, int64_t columns) {
  const double* cross =
      moments + packed_size(columns);  // the response's row: products with each column, then with itself
  LeastSquares result{solve_packed(moments, columns, cross), cross[columns]};
  const auto& b = result.coefficient;
  for (int64_t i = 0; i < columns; ++i) {
    double fitted = 0;
    for (int64_t j = 0; j < columns; ++j) fitted += moments[packed_at(i, j)] * b[static_cast<size_t>(j)];
    result.residual += b[static_cast<size_t>(i)] * (fitted - 2 * cross[i]);
  }
  result.residual = std::max(result.residual, 0.0);  // rounding, where the fit is exact
  return result;
}

double fit_line(const double* moments, int64_t columns, int64_t k, MixtureParameters& target) {
  const auto solved = least_squares(moments, columns);
  target.intercept[static_cast<size_t>(k)] = solved.coefficient[0];
  std::copy(solved.coefficient.begin() + 1, solved.coefficient.end(),
            target.slope.begin() + k * (columns - 1));
  return solved.residual;
}

GaussianStep::GaussianStep(const MixtureSpec& spec, const Design& design, const FitOptions& options)
    : experts_(spec.experts),
      columns_(static_cast<int64_t>(design.input.size()) + 1),
      law_(*Family("gaussian")->location_scale()),
      min_scale_(options.min_scale),
      // An expert with a billionth of the data keeps its coefficients: its normal equations are rounding.
      least_mass_(1e-9 * design.total_weight) {}

int64_t GaussianStep::sums() const { return experts_ * packed_size(columns_ + 1); }

void GaussianStep::densities(const Block& block, const MixtureParameters& p, double* joint, double*) const {
  const auto columns = Block::beside_ones(block.inputs());
  for (int64_t k = 0; k < experts_; ++k) {
    const auto e = static_cast<size_t>(k);
    double* out = joint + k * Block::kStride;
    ops::em_linear(columns, p.intercept[e], p.slope.data() + k * p.inputs, out);
    ops::em_gaussian(block.y(), block.rows, law_.constant(p.scale[e], 0), 1 / p.scale[e], out);
  }
}

void GaussianStep::accumulate(const Block& block, const MixtureParameters&, const double* posterior, double*,
                              double* sum) const {
  ops::em_moments(posterior, Block::kStride, experts_, block.inputs_and_response(), sum);
}

void GaussianStep::update(const MixtureParameters&, const double* sum, MixtureParameters& target) const {
  for (int64_t k = 0; k < experts_; ++k) {
    const double* moments = sum + k * packed_size(columns_ + 1);
    const double mass = moments[0];
    if (mass < least_mass_) continue;
    const double residual = fit_line(moments, columns_, k, target);
    target.scale[static_cast<size_t>(k)] = std::max(std::sqrt(residual / mass), min_scale_);
  }
}

}  // namespace gw::likelihood
