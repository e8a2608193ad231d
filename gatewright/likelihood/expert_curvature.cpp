#include "gatewright/likelihood/expert_curvature.h"

#include <cmath>

#include "gatewright/base/distributions.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/experts_robust.h"

namespace gw::likelihood {
namespace {

void class_derivatives(int64_t outputs, const double* predictor, double y, double* first, double* second) {
  std::vector<double> probability(predictor, predictor + outputs);
  probability.push_back(0);  // the last class
  const double total = log_sum_exp(probability.data(), outputs + 1);
  for (auto& value : probability) value = std::exp(value - total);
  for (int64_t s = 0; s < outputs; ++s) {
    const double p = probability[static_cast<size_t>(s)];
    first[s] = (y == static_cast<double>(s) ? 1.0 : 0.0) - p;
    for (int64_t u = 0; u < outputs; ++u)
      second[s * outputs + u] = p * probability[static_cast<size_t>(u)] - (s == u ? p : 0.0);
  }
}

// With r = (y - η) / σ, v degrees of freedom, l = log σ, k = log v.
void student_derivatives(double r, double scale, double v, double* first, double* second) {
  const double q = r * r, below = v + q, square = below * below, u = (v + 1) / below;
  const double freedom =
      digamma((v + 1) / 2) - digamma(v / 2) - 1 / v - std::log1p(q / v) + (v + 1) * q / (v * below);
  const double bend = 0.5 * (trigamma((v + 1) / 2) - trigamma(v / 2)) + 1 / (v * v) + q / (v * below) +
                      q * (v * below - (v + 1) * (2 * v + q)) / (v * v * square);
  const double steep = (v + 1) * (v - q) / square;  // d(u r) / dr
  first[0] = u * r / scale, first[1] = u * q - 1, first[2] = 0.5 * v * freedom;
  second[0] = -steep / (scale * scale);
  second[1] = second[3] = -(r * steep + u * r) / scale;
  second[4] = -2 * q * v * (v + 1) / square;
  second[2] = second[6] = v * r * (q - 1) / (square * scale);
  second[5] = second[7] = v * q * (q - 1) / square;
  second[8] = 0.5 * v * (freedom + v * bend);
}

}  // namespace

int64_t expert_coordinates(const MixtureSpec& spec) {
  return spec.outputs() + (spec.family != Family::kMultinomial ? 1 : 0) +
         (spec.family == Family::kStudentT ? 1 : 0);
}

void expert_derivatives(const MixtureSpec& spec, const MixtureParameters& p, int64_t expert,
                        const double* predictor, double y, double* first, double* second) {
  if (spec.family == Family::kMultinomial) return class_derivatives(p.outputs, predictor, y, first, second);
  const auto e = static_cast<size_t>(expert);
  const double scale = p.scale[e], r = (y - predictor[0]) / scale;
  if (spec.family == Family::kStudentT) return student_derivatives(r, scale, p.freedom[e], first, second);
  if (spec.family == Family::kGaussian) {
    first[0] = r / scale, first[1] = r * r - 1;
    second[0] = -1 / (scale * scale), second[1] = second[2] = -2 * r / scale, second[3] = -2 * r * r;
    return;
  }
  const double sign = r > 0 ? 1 : r < 0 ? -1 : 0;
  first[0] = sign / scale, first[1] = std::abs(r) - 1;
  second[0] = 0, second[1] = second[2] = -sign / scale, second[3] = -std::abs(r);
}

}  // namespace gw::likelihood
