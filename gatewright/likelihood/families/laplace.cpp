#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/likelihood/reweighted_step.h"

namespace gw::likelihood {
namespace {

/// |r| ≤ r²/2c + c/2 with equality at c = |r|: weights 1/|r| majorise; the scale is Σ t|r| / Σ t.
class LaplaceStep : public ReweightedStep {
 public:
  using ReweightedStep::ReweightedStep;

 protected:
  // Below this (in scales of the expert) a residual counts as zero for the weights; the majorant is then off
  // by at most half of it.
  static constexpr double kSmallest = 1e-8;

  void log_densities(const MixtureParameters& p, size_t expert, const Rows& rows,
                     double* out) const override {
    const double constant = -std::log(2 * p.scale[expert]);
    double* size = rows.kept;
    for (int64_t r = 0; r < rows.count; ++r) size[r] = std::abs(size[r]), out[r] = constant - size[r];
  }
  int64_t extra_sums() const override { return 1; }
  void weigh(const MixtureParameters&, size_t, const Rows& rows, const double* t, double* weight,
             double* extra) const override {
    const double* size = rows.kept;
    for (int64_t r = 0; r < rows.count; ++r)
      weight[r] = t[r] / std::max(size[r], kSmallest), extra[0] += t[r] * size[r];
  }
  void finish(const MixtureParameters& p, size_t expert, double mass, double, const double* extra,
              MixtureParameters& target) const override {
    target.scale[expert] = std::max(p.scale[expert] * extra[0] / mass, min_scale_);
  }
};

/// Noise of density exp(-|r|) / 2: the line of least absolute errors.
/// Source: Hunter and Lange 2004, A Tutorial on MM Algorithms (the M-step).
class Laplace : public LocationScale {
 public:
  static constexpr const char* kSummary =
      "Laplace noise: the line of least absolute errors; the scale is the mean absolute error";
  static constexpr const char* kSource = "M-step: Hunter, Lange 2004, A Tutorial on MM Algorithms";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  Laplace(const Options&, const Context&) {}

  double constant(double scale, double) const override { return -std::log(2 * scale); }
  double cost(double r, double) const override { return std::abs(r); }
  double pull(double r, double) const override { return r > 0 ? 1 : r < 0 ? -1 : 0; }
  double pull_slope(double, double) const override { return 0; }
  double kink() const override { return 2; }
  double cdf(double r, double) const override { return r < 0 ? 0.5 * std::exp(r) : 1 - 0.5 * std::exp(-r); }
  double quantile(double probability, double) const override {
    return probability < 0.5 ? std::log(2 * probability) : -std::log(2 * (1 - probability));
  }
  double variance(double) const override { return 2; }
  double scale_information() const override { return 1; }

  std::unique_ptr<ExpertStep> step(const MixtureSpec& spec, const Design& design,
                                   const FitOptions& options) const override {
    return std::make_unique<LaplaceStep>(*this, spec, design, options);
  }
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Density, likelihood::Laplace);
