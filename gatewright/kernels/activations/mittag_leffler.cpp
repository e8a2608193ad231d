#include "gatewright/kernels/activations/mittag_leffler.h"

#include <math.h>

#include <array>
#include <complex>

#include "gatewright/base/distributions.h"

namespace gw::kernels {
namespace {

using Complex = std::complex<double>;

double log_gamma(double x) {  // lgamma writes a global
  int sign = 0;
  return lgamma_r(x, &sign);
}

/// The parabola's points with all that does not depend on z.
struct Contour {
  static constexpr int kPoints = 28;
  double a = -1, b = -1;
  std::array<Complex, kPoints> power, factor, log;

  void make(double of_a, double of_b) {
    a = of_a, b = of_b;
    const double step = 3.0 / kPoints, width = M_PI * kPoints / 12;
    for (size_t k = 0; k < kPoints; ++k) {
      const Complex ray(1, (static_cast<double>(k) + 0.5) * step), s = width * ray * ray;
      log[k] = std::log(s), power[k] = std::exp(a * log[k]);
      factor[k] = std::exp(s + (a - b) * log[k]) * ray * (2 * step * width / M_PI);
    }
  }

  MittagLeffler sum(double z) const {
    MittagLeffler r;
    for (size_t k = 0; k < kPoints; ++k) {
      // 1/(power − z) by hand: the library's division guards against overflow and takes three times as long
      const double re = power[k].real() - z, im = power[k].imag(), by = 1 / (re * re + im * im);
      const double fr = factor[k].real(), fi = factor[k].imag();
      const double one_r = (fr * re + fi * im) * by, one_i = (fi * re - fr * im) * by;
      const double two_r = (one_r * re + one_i * im) * by, two_i = (one_i * re - one_r * im) * by;
      r.f += one_r, r.by_z += two_r;
      r.by_b -= log[k].real() * one_r - log[k].imag() * one_i;
      r.by_a -= z * (log[k].real() * two_r - log[k].imag() * two_i);
    }
    return r;
  }
};

MittagLeffler series(double a, double b, double z) {
  MittagLeffler r;
  const double log_z = std::log(z), peak = std::pow(z, 1 / a) / a;
  for (int k = 0; k < 100000; ++k) {
    const double at = a * k + b, term = (k == 0 ? 1 : std::exp(k * log_z - log_gamma(at))),
                 value = k == 0 ? std::exp(-log_gamma(at)) : term, slope = value * digamma(at);
    r.f += value, r.by_b -= slope, r.by_a -= k * slope, r.by_z += z > 0 ? k * value / z : 0;
    if (k > peak && k * std::abs(slope) <= 1e-18 * r.f) break;
  }
  return r;
}

MittagLeffler far(double a, double b, double z) {
  const double log_z = std::log(z), root = std::pow(z, 1 / a);
  MittagLeffler r;
  r.f = std::exp(root + (1 - b) / a * log_z) / a;
  r.by_z = r.f * ((1 - b) + root) / (a * z);
  r.by_a = -r.f * (1 + ((1 - b) + root) * log_z / a) / a;
  r.by_b = -r.f * log_z / a;
  return r;
}

}  // namespace

MittagLeffler mittag_leffler(double a, double b, double z) {
  if (a == 0) {
    const double f = std::exp(-log_gamma(b)) / (1 - z);
    return {f, f / (1 - z), 0, 0};
  }
  if (z > 0) return std::log(z) > a * std::log(40.0) ? far(a, b, z) : series(a, b, z);
  thread_local Contour contour;
  if (contour.a != a || contour.b != b) contour.make(a, b);
  return contour.sum(z);
}

}  // namespace gw::kernels
