#include "stats/experts_robust.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "stats/experts_gaussian.h"
#include "stats/linear_algebra.h"

namespace gw::stats {
namespace {

// Below this (in scales of the expert) a residual counts as zero for the weights 1/|r|; the majorant is then off by at most half of it.
constexpr double kSmallest = 1e-8;

/// The root in ν of 1 + log(ν/2) - ψ(ν/2) + mean(log u - u) + ψ((old+1)/2) - log((old+1)/2): decreasing in ν, hence bisection.
double solve_freedom(double old, double mean) {
  const double constant = 1 + mean + digamma((old + 1) / 2) - std::log((old + 1) / 2);
  const auto value = [&](double v) { return std::log(v / 2) - digamma(v / 2) + constant; };
  double low = kLeastFreedom, high = kMostFreedom;
  if (value(high) >= 0) return high;
  if (value(low) <= 0) return low;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (value(middle) > 0 ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace

double digamma(double x) {
  double shift = 0;
  for (; x < 8; x += 1) shift -= 1 / x;
  const double s = 1 / (x * x);
  return shift + std::log(x) - 0.5 / x - s * (1.0 / 12 - s * (1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760))))));
}

RobustStep::RobustStep(const MixtureSpec& spec, const Design& design, const FitOptions& options)
    : experts_(spec.experts),
      columns_(static_cast<int64_t>(design.input.size()) + 1),
      student_(spec.family == Family::kStudentT),
      min_scale_(options.min_scale),
      least_mass_(1e-9 * design.total_weight) {}

int64_t RobustStep::per_expert() const { return packed_size(columns_ + 1) + 2; }
int64_t RobustStep::sums() const { return experts_ * per_expert(); }

void RobustStep::residuals(const Block& block, const MixtureParameters& p, int64_t expert, double* out) const {
  auto columns = block.inputs();
  ++columns.column, --columns.count;
  ops::mixture_linear(columns, p.intercept[static_cast<size_t>(expert)], p.slope.data() + expert * p.inputs, out);
  for (int64_t r = 0; r < block.rows; ++r) out[r] = (block.y()[r] - out[r]) / p.scale[static_cast<size_t>(expert)];
}

void RobustStep::densities(const Block& block, const MixtureParameters& p, double* joint, double*) const {
  for (int64_t k = 0; k < experts_; ++k) {
    double* out = joint + k * Block::kStride;
    residuals(block, p, k, out);
    const double scale = p.scale[static_cast<size_t>(k)];
    if (!student_) {
      for (int64_t r = 0; r < block.rows; ++r) out[r] = -std::abs(out[r]) - std::log(2 * scale);
      continue;
    }
    const double v = p.freedom[static_cast<size_t>(k)];
    const double constant = std::lgamma((v + 1) / 2) - std::lgamma(v / 2) - 0.5 * std::log(v * std::numbers::pi) - std::log(scale);
    for (int64_t r = 0; r < block.rows; ++r) out[r] = constant - (v + 1) / 2 * std::log1p(out[r] * out[r] / v);
  }
}

void RobustStep::accumulate(const Block& block, const MixtureParameters& p, const double* posterior, double* scratch, double* sum) const {
  double* weight = scratch + Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    residuals(block, p, k, scratch);
    const double* t = posterior + k * Block::kStride;
    double* of = sum + k * per_expert();
    double &mass = of[packed_size(columns_ + 1)], &extra = of[packed_size(columns_ + 1) + 1];
    const double v = student_ ? p.freedom[static_cast<size_t>(k)] : 0;
    for (int64_t r = 0; r < block.rows; ++r) {
      const double u = student_ ? (v + 1) / (v + scratch[r] * scratch[r]) : 1 / std::max(std::abs(scratch[r]), kSmallest);
      weight[r] = t[r] * u;
      mass += t[r];
      extra += t[r] * (student_ ? std::log(u) - u : std::abs(scratch[r]));
    }
    ops::mixture_moments(weight, block.inputs_and_response(), of);
  }
}

void RobustStep::update(const MixtureParameters& p, const double* sum, MixtureParameters& target) const {
  for (int64_t k = 0; k < experts_; ++k) {
    const auto e = static_cast<size_t>(k);
    const double* of = sum + k * per_expert();
    const double mass = of[packed_size(columns_ + 1)], extra = of[packed_size(columns_ + 1) + 1];
    if (mass < least_mass_) continue;
    const auto solved = least_squares(of, columns_);
    target.intercept[e] = solved.coefficient[0];
    std::copy(solved.coefficient.begin() + 1, solved.coefficient.end(), target.slope.begin() + k * (columns_ - 1));
    const double scale = student_ ? std::sqrt(solved.residual / mass) : p.scale[e] * extra / mass;
    target.scale[e] = std::max(scale, min_scale_);
    if (student_) target.freedom[e] = solve_freedom(p.freedom[e], extra / mass);
  }
}

}  // namespace gw::stats
