#pragma once
#include <string>
#include <vector>

namespace gw::inline train {

/// Values over an axis, in ascending order of x; y that is not finite was not measured there.
struct Curve {
  std::string axis;  ///< "step", "n", …
  std::vector<double> x, y;
};

/// Numbers by row and column, both of which have names.
struct ValueTable {
  std::string row;  ///< what a row is: "expert"
  std::vector<std::string> columns, names;
  std::vector<std::vector<double>> values;  ///< [names][columns]; what is not finite was not measured
};

/// The area between the curve and zero, by trapezoids; nan for fewer than two points and for a gap.
double area_of(const Curve& curve);
/// The slope of the least squares line; nan as above, and where all x are equal.
double slope_of(const Curve& curve);
/// The least x at which the curve passes through `level`, from below or from above, on the straight lines
/// between its points (gaps are bridged); infinite if it never does, nan without points.
double crossing_of(const Curve& curve, double level);

}  // namespace gw::inline train
