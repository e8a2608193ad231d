#pragma once
#include <map>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/options.h"

namespace gw::inline train {

/// What runs must meet. Three kinds:
///   a bound        a value of `arm` [minus or divided by another's] within at_least … at_most, mean over
///   seeds; an order       values of the arms in `order` rise from each to the next, means over the seeds of
///   all; not worse      the value of `arm` is not worse than that of `minus` by more than `not_worse_by`:
///   the lower
///                  end of a one-sided interval over the differences of equal seeds.
/// The value is a metric, or a number that `measure` takes from a curve.
struct Mark : OptionSet {
  enum class Kind { kBound, kOrder, kNotWorse };
  std::string name, claim, metric, minus_metric, arm, minus, divided_by, spread;
  std::string curve, measure = "area";
  double level = 0;
  double at_least = -kInfinity, at_most = kInfinity;
  std::vector<std::string> order;
  double not_worse_by = kInfinity;  ///< after scaling; infinite: no such mark
  std::string better = "more", interval = "t";
  double confidence = 0.95;
  double scale = 1;  ///< the measured value is multiplied by this: 100 for points
  std::string unit;
  bool of_paper = false;  ///< a claim as the paper makes it: shown or not shown, reported in every check,
                          ///< outside the exit code
  std::vector<std::string> sizes;  ///< where the mark applies; empty: everywhere
  void fields(OptionVisitor& v) override;
  Kind kind() const;
  /// The arms whose values it needs.
  std::vector<std::string> arms() const;
  bool applies(const std::string& size) const;
};

/// A table of [[marks]] in a recipe with these arms and sizes.
/// Errors: ValueError for unknown keys, arms and sizes (with the near miss), for a mark that could not fail
///         or could not hold, and for keys that belong to another kind of mark.
Mark read_mark(const std::string& recipe, const Json& table, const std::vector<std::string>& arms,
               const std::vector<std::string>& sizes);

/// Names of what a run leaves, known before it runs: a mark that names anything else is a typo.
/// A run need not leave all of them (a dense network has no load).
struct LeftNames {
  std::vector<std::string> metrics, curves, tables;
  std::vector<std::string> files = {};  ///< for arms that start from this one, beside a training's checkpoint
};

/// Refuses marks that name a metric or curve which an arm never leaves. Arms that are not in `arms` are not
/// known and pass. Errors: ValueError with the near miss.
void check_names(const std::string& recipe, const Mark& mark, const std::map<std::string, LeftNames>& arms);

}  // namespace gw::inline train
