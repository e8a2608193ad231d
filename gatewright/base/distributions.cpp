#include "gatewright/base/distributions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace gw::inline base {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Regularised incomplete beta function by its continued fraction (modified Lentz), for x < (a + 1)/(a + b +
/// 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m < 500; ++m) {
    for (const double term : {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                              -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 + term * d, c = 1 + term / c;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d), c = std::abs(c) < kTiny ? kTiny : c;
      value *= c * d;
      if (std::abs(c * d - 1) < 1e-15) return value;
    }
  }
  return value;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/// P(T <= t) for t <= 0. Near the median the complement is integrated: freedom / (freedom + t^2) rounds to 1.
double student_tail(double t, double freedom) {
  const double square = t * t;
  if (square < freedom)
    return 0.5 - 0.5 * incomplete_beta(0.5, freedom / 2, square / (freedom + square));
  return 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square));
}

}  // namespace

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double normal_quantile(double p) {
  constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                          1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                          6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                          -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                          3.754408661907416e+00};
  if (!(p > 0)) return -kInf;
  if (!(p < 1)) return kInf;
  const double tail = std::min(p, 1 - p);
  double x;
  if (tail < 0.02425) {
    const double q = std::sqrt(-2 * std::log(tail));
    x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
        ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    if (p > 0.5) x = -x;
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double e = 0.5 * std::erfc(-x / std::sqrt(2.0)) - p;
  const double u = e * std::sqrt(2 * 3.14159265358979324) * std::exp(0.5 * x * x);
  return x - u / (1 + 0.5 * x * u);
}

double student_cdf(double t, double freedom) {
  return t < 0 ? student_tail(t, freedom) : 1 - student_tail(t, freedom);
}

double student_quantile(double p, double freedom) {
  const double tail = std::min(p, 1 - p);
  if (!(tail > 0)) return p > 0.5 ? kInf : -kInf;
  double low = -1, high = 0;
  while (student_tail(low, freedom) > tail && std::isfinite(low)) high = low, low *= 2;
  for (int i = 0; i < 100 && high - low > 1e-15 * -low; ++i) {
    const double middle = 0.5 * (low + high);
    (student_tail(middle, freedom) < tail ? low : high) = middle;
  }
  const double found = 0.5 * (low + high);
  return p > 0.5 ? -found : found;
}

double normal_equivalent(double t, double freedom) {
  const double size =
      (8 * freedom + 1) / (8 * freedom + 3) * std::sqrt(freedom * std::log1p(t * t / freedom));
  return t < 0 ? -size : size;
}

double digamma(double x) {
  double shift = 0;
  for (; x < 8; x += 1) shift -= 1 / x;
  const double s = 1 / (x * x);
  return shift + std::log(x) - 0.5 / x -
         s * (1.0 / 12 -
              s * (1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760))))));
}

double trigamma(double x) {
  double shift = 0;
  for (; x < 8; x += 1) shift += 1 / (x * x);
  const double s = 1 / (x * x);
  return shift + 1 / x + 0.5 * s +
         s / x *
             (1.0 / 6 -
              s * (1.0 / 30 - s * (1.0 / 42 - s * (1.0 / 30 - s * (5.0 / 66 - s * (691.0 / 2730))))));
}

}  // namespace gw::inline base
