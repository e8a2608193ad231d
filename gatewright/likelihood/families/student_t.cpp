#include <algorithm>
#include <cmath>
#include <numbers>

#include "gatewright/base/distributions.h"
#include "gatewright/base/registry.h"
#include "gatewright/likelihood/reweighted_step.h"

namespace gw::likelihood {
namespace {

/// Degrees of freedom stay within these: below, the mean is lost; above, the density is the normal one.
constexpr double kLeastFreedom = 1, kMostFreedom = 200;

/// What an expert's rows say about its degrees of freedom ν, with w = r²/(ν + r²): Σ t, Σ t log(1 + r²/ν), Σ
/// t w, Σ t w².
struct Tails {
  double mass, log, share, square;
};

/// A Newton step on Σ t log f(r; ν) in 1/ν, where the normal lies at 0 and not at infinity: the likelihood
/// itself given the posteriors (Liu & Rubin 1994), not the expectation over latent precisions, along which
/// steps towards the normal shrink like 1/ν. Where that is not concave, and at most, to an eighth or to eight
/// times 1/ν.
double freedom_step(double v, const Tails& t) {
  constexpr double kFarthest = 8;
  const double constant = digamma((v + 1) / 2) - digamma(v / 2) - 1 / v,
               bend = 0.5 * (trigamma((v + 1) / 2) - trigamma(v / 2)) + 1 / (v * v);
  const double by_v = 0.5 * (t.mass * constant - t.log + (v + 1) / v * t.share);
  const double by_v_twice =
      0.5 * (t.mass * bend + t.share / v - (t.share + (v + 1) * (t.share - t.square)) / (v * v));
  const double slope = -v * v * by_v, curvature = v * v * v * (v * by_v_twice + 2 * by_v), inverse = 1 / v;
  const double moved = curvature < 0 ? inverse - slope / curvature : slope > 0 ? kFarthest * inverse : 0;
  return std::clamp(1 / std::clamp(moved, inverse / kFarthest, inverse * kFarthest), kLeastFreedom,
                    kMostFreedom);
}

double log_constant(double scale, double v) {
  return std::lgamma((v + 1) / 2) - std::lgamma(v / 2) - 0.5 * std::log(v * std::numbers::pi) -
         std::log(scale);
}

/// Latent precisions u = (ν + 1)/(ν + r²/s²); ν takes a Newton step of its own, which may have to be
/// shortened.
class StudentStep : public ReweightedStep {
 public:
  using ReweightedStep::ReweightedStep;

 protected:
  // Leaves r² and log(1 + r²/ν) for `weigh`: a logarithm takes as long as all the moments of a row.
  void log_densities(const MixtureParameters& p, size_t expert, const Rows& rows,
                     double* out) const override {
    const double v = p.freedom[expert], constant = log_constant(p.scale[expert], v);
    double *size = rows.kept, *log = rows.spare;
    for (int64_t r = 0; r < rows.count; ++r) {
      size[r] *= size[r], log[r] = std::log1p(size[r] / v);
      out[r] = constant - (v + 1) / 2 * log[r];
    }
  }
  int64_t extra_sums() const override { return 3; }
  void weigh(const MixtureParameters& p, size_t expert, const Rows& rows, const double* t, double* weight,
             double* extra) const override {
    const double v = p.freedom[expert];
    const double *size = rows.kept, *log = rows.spare;
    for (int64_t r = 0; r < rows.count; ++r) {
      const double precision = 1 / (v + size[r]), share = t[r] * size[r] * precision;
      weight[r] = t[r] * (v + 1) * precision;
      extra[0] += t[r] * log[r], extra[1] += share, extra[2] += share * size[r] * precision;
    }
  }
  void finish(const MixtureParameters& p, size_t expert, double mass, double residual, const double* extra,
              MixtureParameters& target) const override {
    ReweightedStep::finish(p, expert, mass, residual, extra, target);
    target.freedom[expert] = freedom_step(p.freedom[expert], {mass, extra[0], extra[1], extra[2]});
  }
};

/// Student's t noise, whose degrees of freedom are estimated: outlying rows pull little.
/// Source: Lange, Little, Taylor 1989 (the M-step); differs: ν by a Newton step in 1/ν, within [1, 200].
class StudentT : public LocationScale {
 public:
  static constexpr const char* kSummary =
      "Student's t noise with estimated degrees of freedom: outlying rows pull little";
  static constexpr const char* kSource =
      "M-step: Lange, Little, Taylor 1989, Robust Statistical Modeling Using the t Distribution";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  StudentT(const Options&, const Context&) {}

  std::optional<ShapeParameter> shape() const override {
    return ShapeParameter{"degrees of freedom",
                          kLeastFreedom,
                          kMostFreedom,
                          10,
                          1.001,
                          199,
                          "has the tails of a normal: the likelihood rises with its degrees of freedom "
                          "up to their bound of 200, where the two "
                          "densities are alike; gaussian experts need one parameter less"};
  }
  double constant(double scale, double v) const override { return log_constant(scale, v); }
  double cost(double r, double v) const override { return (v + 1) / 2 * std::log1p(r * r / v); }
  double pull(double r, double v) const override { return (v + 1) / (v + r * r) * r; }
  double pull_slope(double r, double v) const override {
    const double below = v + r * r;
    return (v + 1) * (v - r * r) / (below * below);
  }
  double cdf(double r, double v) const override { return student_cdf(r, v); }
  double quantile(double probability, double v) const override { return student_quantile(probability, v); }
  double variance(double v) const override { return v > 3 ? v / (v - 2) : 1; }
  void derivatives(const ExpertAt& at, double y, double* first, double* second) const override;

  std::unique_ptr<ExpertStep> step(const MixtureSpec& spec, const Design& design,
                                   const FitOptions& options) const override {
    return std::make_unique<StudentStep>(*this, spec, design, options);
  }
};

// With r = (y - η) / σ, v degrees of freedom, l = log σ, k = log v.
void StudentT::derivatives(const ExpertAt& at, double y, double* first, double* second) const {
  const double scale = at.scale, v = at.shape, r = (y - at.predictor[0]) / scale;
  const double q = r * r, below = v + q, u = (v + 1) / below;
  const double freedom =
      digamma((v + 1) / 2) - digamma(v / 2) - 1 / v - std::log1p(q / v) + (v + 1) * q / (v * below);
  first[0] = u * r / scale, first[1] = u * q - 1, first[2] = 0.5 * v * freedom;
  if (second == nullptr) return;
  const double square = below * below, steep = pull_slope(r, v);
  const double bend = 0.5 * (trigamma((v + 1) / 2) - trigamma(v / 2)) + 1 / (v * v) + q / (v * below) +
                      q * (v * below - (v + 1) * (2 * v + q)) / (v * v * square);
  second[0] = -steep / (scale * scale);
  second[1] = second[3] = -(r * steep + u * r) / scale;
  second[4] = -2 * q * v * (v + 1) / square;
  second[2] = second[6] = v * r * (q - 1) / (square * scale);
  second[5] = second[7] = v * q * (q - 1) / square;
  second[8] = 0.5 * v * (freedom + v * bend);
}

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Density, likelihood::StudentT);
