#pragma once
#include "gatewright/train/curve.h"
#include "gatewright/train/recipe.h"

namespace gw::inline train {

/// What one run (arm, seed) measured: numbers by metric, curves and tables by name.
struct ArmResult {
  std::string arm;
  int64_t seed = 0;
  std::map<std::string, double> metrics;
  std::map<std::string, Curve> curves = {};
  std::map<std::string, ValueTable> tables = {};
};

/// A mark beside its measurement.
struct MarkResult {
  Mark mark;
  double measured = 0;  ///< mean over seeds, after difference, ratio and scale; of an order the least step
                        ///< from an arm to the next
  double low = 0, high = 0;  ///< over seeds
  size_t seeds = 0;          ///< that entered; 0: not measured
  bool holds = false;
  std::string unjudged = {};  ///< why it can be neither met nor missed: "2 seeds; …"; "": it was judged
  std::string detail = {};    ///< beside the number: the order found, the end of the interval
};

/// Judges the marks that apply at `size`. A mark without measurements does not hold; one that is "not worse"
/// over too few seeds for its interval is not judged. Differences and ratios pair equal seeds.
std::vector<MarkResult> judge(const Recipe& recipe, const std::string& size,
                              const std::vector<ArmResult>& results);

/// The marks of the other sizes, measured here all the same: what they say is told, but they are not judged.
std::vector<MarkResult> measure_unjudged(const Recipe& recipe, const std::string& size,
                                         const std::vector<ArmResult>& results);

struct Spread {
  double mean = 0, low = 0, high = 0, deviation = 0;
  size_t count = 0;
};
/// Mean, range and sample standard deviation of a metric of an arm over its seeds.
Spread spread(const std::vector<ArmResult>& results, const std::string& arm, const std::string& metric);

}  // namespace gw::inline train
