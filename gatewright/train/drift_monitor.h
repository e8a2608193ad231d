#pragma once
// When a stream of numbers has changed for the worse, with a stated chance of a false alarm.
#include <cstdint>
#include <vector>

#include "gatewright/base/options.h"

namespace gw::inline train {

struct DriftOptions : OptionSet {
  double level = 0.05;  ///< chance of a false alarm within the horizon
  int64_t reference = 10, horizon = 60;
  double forget = 0.3;
  bool two_sided = false;
  void fields(OptionVisitor& v) override {
    v.real("level", level, "chance of a false alarm within the horizon", 1e-4, 0.5);
    v.integer("reference", reference, "windows that say what is usual", 3, 10000);
    v.integer("horizon", horizon, "windows after those for which the level holds", 1, 100000);
    v.real("forget", forget, "weight of the newest window", 0.01, 1);
  }
};

/// Compares each window's number with those of the first `reference` windows.
/// Math:   z_t = (v_t − m) / s, mean m and deviation s of the reference; e_t = (1 − ρ) e_{t−1} + ρ z_t, ρ =
///         forget; an alarm where e_t > h (|e_t| where two_sided). h is the 1 − level quantile of the largest
///         e_t within the horizon for independent normal numbers, by 20,000 simulated streams with a
///         reference of their own: it depends on the options alone.
/// The level is exact for windows that are independent and normal, which means of a few hundred examples
/// nearly are, and holds from one reset until the horizon ends. It is no promise about numbers that
/// learning still moves.
/// Cost:   the threshold is simulated once by each construction, a tenth of a second; copies share it.
/// Source: an exponentially weighted chart, Roberts 1959.
class DriftMonitor {
 public:
  explicit DriftMonitor(const DriftOptions& options);
  /// One window more; true for an alarm. Errors: ValueError for a number that is not finite.
  bool add(double value);
  /// Forgets everything: the next windows are the reference.
  void reset();
  double threshold() const { return threshold_; }
  double statistic() const { return statistic_; }
  /// The mean of the reference; nan until it is there.
  double usual() const;

 private:
  DriftOptions options_;
  double threshold_ = 0, statistic_ = 0, mean_ = 0, deviation_ = 0;
  std::vector<double> reference_;
};

}  // namespace gw::inline train
