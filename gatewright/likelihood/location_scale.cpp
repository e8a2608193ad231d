#include "gatewright/likelihood/location_scale.h"

#include <cmath>

#include "gatewright/likelihood/reweighted_step.h"

namespace gw::likelihood {

double LocationScale::quantile(double probability, double shape) const {
  double low = -1, high = 1;
  while (cdf(low, shape) > probability) low *= 2;
  while (cdf(high, shape) < probability) high *= 2;
  for (int i = 0; i < 100 && high - low > 1e-15 * (std::abs(low) + std::abs(high)); ++i) {
    const double middle = 0.5 * (low + high);
    (cdf(middle, shape) < probability ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double LocationScale::log_density(const ExpertAt& at, double y) const {
  return constant(at.scale, at.shape) - cost((y - at.predictor[0]) / at.scale, at.shape);
}

void LocationScale::derivatives(const ExpertAt& at, double y, double* first, double* second) const {
  const double r = (y - at.predictor[0]) / at.scale, by = pull(r, at.shape);
  first[0] = by / at.scale, first[1] = by * r - 1;
  if (second == nullptr) return;
  const double bend = pull_slope(r, at.shape);
  second[0] = -bend / (at.scale * at.scale);
  second[1] = second[2] = -(r * bend + by) / at.scale;
  second[3] = -(r * by + r * r * bend);
}

double LocationScale::draw(const ExpertAt& at, double uniform) const {
  return at.predictor[0] + at.scale * quantile(uniform + 0x1.0p-54, at.shape);
}

std::unique_ptr<ExpertStep> LocationScale::step(const MixtureSpec& spec, const Design& design,
                                                const FitOptions& options) const {
  return std::make_unique<ReweightedStep>(*this, spec, design, options);
}

}  // namespace gw::likelihood
