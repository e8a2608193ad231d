#include "gatewright/likelihood/reweighted_step.h"

#include <algorithm>
#include <cmath>

#include "gatewright/likelihood/experts_gaussian.h"

namespace gw::likelihood {

ReweightedStep::ReweightedStep(const LocationScale& law, const MixtureSpec& spec, const Design& design,
                               const FitOptions& options)
    : min_scale_(options.min_scale),
      law_(law),
      experts_(spec.experts),
      columns_(static_cast<int64_t>(design.input.size()) + 1),
      least_mass_(1e-9 * design.total_weight) {}

void ReweightedStep::residuals(const Block& block, const MixtureParameters& p, int64_t expert,
                               double* out) const {
  const auto columns = Block::beside_ones(block.inputs());
  ops::em_linear(columns, p.intercept[static_cast<size_t>(expert)], p.slope.data() + expert * p.inputs, out);
  for (int64_t r = 0; r < block.rows; ++r)
    out[r] = (block.y()[r] - out[r]) / p.scale[static_cast<size_t>(expert)];
}

void ReweightedStep::densities(const Block& block, const MixtureParameters& p, double* joint,
                               double* scratch) const {
  for (int64_t k = 0; k < experts_; ++k) {
    double* kept = scratch + 2 * k * Block::kStride;
    residuals(block, p, k, kept);
    log_densities(p, static_cast<size_t>(k), {block.rows, kept, kept + Block::kStride},
                  joint + k * Block::kStride);
  }
}

void ReweightedStep::accumulate(const Block& block, const MixtureParameters& p, const double* posterior,
                                double* scratch, double* sum) const {
  double* weight = scratch + 2 * experts_ * Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    double* kept = scratch + 2 * k * Block::kStride;
    const double* t = posterior + k * Block::kStride;
    double *of = sum + k * per_expert(), *mass = of + packed_size(columns_ + 1);
    for (int64_t r = 0; r < block.rows; ++r) *mass += t[r];
    weigh(p, static_cast<size_t>(k), {block.rows, kept, kept + Block::kStride}, t, weight, mass + 1);
    ops::em_moments(weight, block.inputs_and_response(), of);
  }
}

void ReweightedStep::update(const MixtureParameters& p, const double* sum, MixtureParameters& target) const {
  for (int64_t k = 0; k < experts_; ++k) {
    const double *of = sum + k * per_expert(), *mass = of + packed_size(columns_ + 1);
    if (*mass < least_mass_) continue;
    const double residual = fit_line(of, columns_, k, target);
    finish(p, static_cast<size_t>(k), *mass, residual, mass + 1, target);
  }
}

void ReweightedStep::log_densities(const MixtureParameters& p, size_t expert, const Rows& rows,
                                   double* out) const {
  const double shape = shape_of(p, expert);
  const double constant = law_.constant(p.scale[expert], shape);
  for (int64_t r = 0; r < rows.count; ++r) out[r] = constant - law_.cost(rows.kept[r], shape);
}

void ReweightedStep::weigh(const MixtureParameters& p, size_t expert, const Rows& rows,
                           const double* posterior, double* weight, double*) const {
  constexpr double kSmallest = 1e-8;  // in scales: the limit of pull(r) / r is its slope there
  const double shape = shape_of(p, expert);
  for (int64_t r = 0; r < rows.count; ++r) {
    const double at = rows.kept[r];
    weight[r] =
        posterior[r] * (std::abs(at) < kSmallest ? law_.pull_slope(0, shape) : law_.pull(at, shape) / at);
  }
}

void ReweightedStep::finish(const MixtureParameters&, size_t expert, double mass, double residual,
                            const double*, MixtureParameters& target) const {
  target.scale[expert] = std::max(std::sqrt(residual / mass), min_scale_);
}

}  // namespace gw::likelihood
