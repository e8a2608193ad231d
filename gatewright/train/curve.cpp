#include "gatewright/train/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gw::inline train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool whole(const Curve& curve) {
  const auto finite = [](double y) { return std::isfinite(y); };
  return curve.x.size() >= 2 && std::all_of(curve.y.begin(), curve.y.end(), finite);
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

double area_of(const Curve& curve) {
  if (!whole(curve)) return kNan;
  double area = 0;
  for (size_t i = 1; i < curve.x.size(); ++i)
    area += (curve.x[i] - curve.x[i - 1]) * (curve.y[i] + curve.y[i - 1]) / 2;
  return area;
}

double slope_of(const Curve& curve) {
  if (!whole(curve)) return kNan;
  const double x = mean(curve.x), y = mean(curve.y);
  double xx = 0, xy = 0;
  for (size_t i = 0; i < curve.x.size(); ++i)
    xx += (curve.x[i] - x) * (curve.x[i] - x), xy += (curve.x[i] - x) * (curve.y[i] - y);
  return xx > 0 ? xy / xx : kNan;
}

double crossing_of(const Curve& curve, double level) {
  double before = kNan, at = kNan;  // the last finite point
  for (size_t i = 0; i < curve.x.size(); ++i) {
    const double above = curve.y[i] - level;
    if (!std::isfinite(above)) continue;
    if (above == 0) return curve.x[i];
    if (std::signbit(before) != std::signbit(above) && !std::isnan(before))
      return at + (curve.x[i] - at) * before / (before - above);
    before = above, at = curve.x[i];
  }
  return std::isnan(before) ? kNan : std::numeric_limits<double>::infinity();
}

}  // namespace gw::inline train
