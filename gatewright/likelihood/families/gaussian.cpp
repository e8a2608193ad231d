#include <cmath>
#include <numbers>

#include "gatewright/base/distributions.h"
#include "gatewright/base/registry.h"
#include "gatewright/likelihood/experts_gaussian.h"
#include "gatewright/likelihood/location_scale.h"

namespace gw::likelihood {
namespace {

/// Normal noise.
class Gaussian : public LocationScale {
 public:
  static constexpr const char* kSummary = "normal noise around a line; the scale is the standard deviation";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  Gaussian(const Options&, const Context&) {}

  double constant(double scale, double) const override {
    return -std::log(scale) - 0.5 * std::log(2 * std::numbers::pi);
  }
  double cost(double r, double) const override { return 0.5 * r * r; }
  double pull(double r, double) const override { return r; }
  double pull_slope(double, double) const override { return 1; }
  double cdf(double r, double) const override { return normal_cdf(r); }
  double quantile(double probability, double) const override { return normal_quantile(probability); }
  double variance(double) const override { return 1; }
  bool least_squares() const override { return true; }

  // The same sum in another order: row by row the term of y comes first, as it always has, so that fits keep
  // their last digits.
  double log_density(const ExpertAt& at, double y) const override {
    const double r = (y - at.predictor[0]) / at.scale;
    return -0.5 * r * r - std::log(at.scale) - 0.5 * std::log(2 * std::numbers::pi);
  }

  std::unique_ptr<ExpertStep> step(const MixtureSpec& spec, const Design& design,
                                   const FitOptions& options) const override {
    return std::make_unique<GaussianStep>(spec, design, options);
  }
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Density, likelihood::Gaussian);
