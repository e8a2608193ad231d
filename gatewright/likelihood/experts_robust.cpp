#include "gatewright/likelihood/experts_robust.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/experts_gaussian.h"
#include "gatewright/likelihood/linear_algebra.h"

namespace gw::likelihood {
namespace {

// Below this (in scales of the expert) a residual counts as zero for the weights 1/|r|; the majorant is then
// off by at most half of it.
constexpr double kSmallest = 1e-8;

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

}  // namespace

RobustStep::RobustStep(const MixtureSpec& spec, const Design& design, const FitOptions& options)
    : experts_(spec.experts),
      columns_(static_cast<int64_t>(design.input.size()) + 1),
      student_(spec.family == Family::kStudentT),
      min_scale_(options.min_scale),
      least_mass_(1e-9 * design.total_weight) {}

int64_t RobustStep::per_expert() const { return packed_size(columns_ + 1) + (student_ ? 4 : 2); }
int64_t RobustStep::sums() const { return experts_ * per_expert(); }

void RobustStep::residuals(const Block& block, const MixtureParameters& p, int64_t expert,
                           double* out) const {
  auto columns = block.inputs();
  ++columns.column, --columns.count;
  ops::em_linear(columns, p.intercept[static_cast<size_t>(expert)], p.slope.data() + expert * p.inputs, out);
  for (int64_t r = 0; r < block.rows; ++r)
    out[r] = (block.y()[r] - out[r]) / p.scale[static_cast<size_t>(expert)];
}

// Leaves |r|, or r² and log(1 + r²/ν), for `accumulate`: a logarithm takes as long as all the moments of a
// row.
void RobustStep::densities(const Block& block, const MixtureParameters& p, double* joint,
                           double* scratch) const {
  for (int64_t k = 0; k < experts_; ++k) {
    double *out = joint + k * Block::kStride, *size = scratch + 2 * k * Block::kStride,
           *log = size + Block::kStride;
    residuals(block, p, k, size);
    const double scale = p.scale[static_cast<size_t>(k)];
    if (!student_) {
      const double constant = -std::log(2 * scale);
      for (int64_t r = 0; r < block.rows; ++r) size[r] = std::abs(size[r]), out[r] = constant - size[r];
      continue;
    }
    const double v = p.freedom[static_cast<size_t>(k)];
    const double constant = std::lgamma((v + 1) / 2) - std::lgamma(v / 2) -
                            0.5 * std::log(v * std::numbers::pi) - std::log(scale);
    for (int64_t r = 0; r < block.rows; ++r) {
      size[r] *= size[r], log[r] = std::log1p(size[r] / v);
      out[r] = constant - (v + 1) / 2 * log[r];
    }
  }
}

void RobustStep::accumulate(const Block& block, const MixtureParameters& p, const double* posterior,
                            double* scratch, double* sum) const {
  double* weight = scratch + 2 * experts_ * Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    const double *size = scratch + 2 * k * Block::kStride, *log = size + Block::kStride,
                 *t = posterior + k * Block::kStride;
    double *of = sum + k * per_expert(), *extra = of + packed_size(columns_ + 1);
    for (int64_t r = 0; r < block.rows; ++r) extra[0] += t[r];
    if (student_) {
      const double v = p.freedom[static_cast<size_t>(k)];
      for (int64_t r = 0; r < block.rows; ++r) {
        const double precision = 1 / (v + size[r]), share = t[r] * size[r] * precision;
        weight[r] = t[r] * (v + 1) * precision;
        extra[1] += t[r] * log[r], extra[2] += share, extra[3] += share * size[r] * precision;
      }
    } else {
      for (int64_t r = 0; r < block.rows; ++r)
        weight[r] = t[r] / std::max(size[r], kSmallest), extra[1] += t[r] * size[r];
    }
    ops::em_moments(weight, block.inputs_and_response(), of);
  }
}

void RobustStep::update(const MixtureParameters& p, const double* sum, MixtureParameters& target) const {
  for (int64_t k = 0; k < experts_; ++k) {
    const auto e = static_cast<size_t>(k);
    const double *of = sum + k * per_expert(), *extra = of + packed_size(columns_ + 1);
    const double mass = extra[0];
    if (mass < least_mass_) continue;
    const auto solved = least_squares(of, columns_);
    target.intercept[e] = solved.coefficient[0];
    std::copy(solved.coefficient.begin() + 1, solved.coefficient.end(),
              target.slope.begin() + k * (columns_ - 1));
    const double scale = student_ ? std::sqrt(solved.residual / mass) : p.scale[e] * extra[1] / mass;
    target.scale[e] = std::max(scale, min_scale_);
    if (student_) target.freedom[e] = freedom_step(p.freedom[e], {mass, extra[1], extra[2], extra[3]});
  }
}

}  // namespace gw::likelihood
