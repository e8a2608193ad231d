#pragma once
// Statistical experiments: a claim about how an estimate behaves over a grid (sample sizes, penalties),
// measured by many small independent trials. Recipes name an experiment as they name other parts; the check
// runs it and compares its metrics with the marks.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gatewright/base/registry.h"
#include "gatewright/base/stop.h"

namespace gw::likelihood {

/// What one trial measured: values along the axis, and values that belong to no point of it.
struct TrialPoint {
  double x = 0;
  std::map<std::string, double> values;
};
struct Trial {
  std::vector<TrialPoint> points;
  std::map<std::string, double> scalars;
};

/// Median and quartiles over trials, by x. A value that is no number counts as infinite: a failed fit must
/// not improve a median.
struct RateCurve {
  std::string name;
  std::vector<double> x, median, low, high;
  double slope = 0;  ///< of log median over log x, from `slope_from` on; nan unless at least two medians
                     ///< there are positive and finite
};

struct ExperimentResult {
  std::string axis;
  std::vector<RateCurve> curves;
  /// slope.<curve>, first.<curve> and last.<curve> (medians at the ends of the axis), shrink.<curve> = last /
  /// first, best.<curve> (least median), worst.<curve> (largest median from slope_from on), median.<scalar>,
  /// share.<scalar> (mean).
  std::map<std::string, double> metrics;
};

/// Names of what trials may measure.
struct TrialNames {
  std::vector<std::string> curves;   ///< values at points of the axis
  std::vector<std::string> scalars;  ///< values that belong to no point
};

/// One kind of experiment. A part lists its options, and says what trial i measures; sharing out the trials,
/// medians and slopes are the runner's.
class Experiment {
 public:
  static constexpr const char* kKind = "experiments";
  struct Context {
    uint64_t seed = 0;
  };

  virtual ~Experiment() = default;
  /// Name of the axis: "n", "lambda".
  virtual const char* axis() const = 0;
  virtual int64_t trials() const = 0;
  /// What its trials may measure, known before the first one runs: marks that name anything else are refused.
  virtual TrialNames measures() const = 0;
  /// A pure function of options, seed and index; called from several threads.
  virtual Trial trial(int64_t index) const = 0;
  /// Expected work of a trial, in any unit: the longest run first, so that no core is left with a long one at
  /// the end.
  virtual double work(int64_t index) const { return 1; }
  /// Slopes are fitted from here on along the axis.
  virtual double slope_from() const { return 0; }
};

struct ExperimentRun {
  int threads = 1;
  Tick progress;
  Stop stop;  ///< requested: ends after the trials in work
};

/// Runs all trials. The result depends neither on the number of threads nor on their timing.
/// Errors: what a trial throws (the one of the lowest index); Interrupted if `stop` said so.
ExperimentResult run_experiment(const Experiment& experiment, const ExperimentRun& run);

/// Names of all metrics that an experiment's result may have.
std::vector<std::string> metric_names(const Experiment& experiment);

/// Slope of the least squares line through (log x, log y); nan for fewer than two points or values that are
/// not positive and finite.
double log_log_slope(const std::vector<double>& x, const std::vector<double>& y);
/// The q-quantile with linear interpolation; nan counts as infinite. Errors: ValueError for no values.
double quantile(std::vector<double> values, double q);

}  // namespace gw::likelihood
