#pragma once
// How far an attacker may move an image: declared here once, given by a recipe in the table of the task, and
// read from the task by objectives, evaluations and reports.
#include <optional>

#include "gatewright/base/options.h"
#include "gatewright/train/task.h"

namespace gw::inline train {

/// Options of a task whose examples are attacked.
struct ThreatModel : OptionSet {
  double epsilon = 8.0 / 255.0;  ///< radius of the L∞ ball, pixels in [0, 1]
  int64_t validation_steps = 5;  ///< PGD steps of the robust accuracy on which the best checkpoint is chosen
  void fields(OptionVisitor& v) override;
};

/// A task whose examples are attacked.
class AttackedTask : public Task {
 public:
  virtual const ThreatModel& threat() const = 0;
};

/// The threat model that the objective `part` trains against. Errors: ValueError for a task without one.
const ThreatModel& threat_of(const Task& task, const std::string& part);

/// The radius of the attacks in the recipe that a run directory keeps, of this version or an earlier one;
/// nothing for a run whose task knows no attack, and for what is no recipe.
std::optional<double> recorded_radius(const Json& recipe);

}  // namespace gw::inline train
