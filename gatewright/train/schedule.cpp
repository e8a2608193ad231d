#include "gatewright/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace gw::inline train {

void Schedule::fields(OptionVisitor& v) {
  v.text("shape", shape, "how the rate falls", {"cosine", "step", "constant"});
  v.real("lr", lr, "initial learning rate", 0, 1e3);
  v.flag("per_step", per_step, "cosine by step instead of by epoch; always so with a budget");
  v.real("warmup_epochs", warmup_epochs, "linear rise from zero over so many epochs", 0, 1e6);
  v.reals("milestones", milestones, "epochs at which the step schedule multiplies by gamma", 0, 1e9);
  v.real("gamma", gamma, "factor at each milestone", 0, 1);
}

double Schedule::at(int64_t epoch, int64_t step, int64_t steps_per_epoch, double epochs) const {
  const double fine = static_cast<double>(epoch) +
                      static_cast<double>(step) / static_cast<double>(std::max<int64_t>(steps_per_epoch, 1));
  const double warm =
      warmup_epochs > 0
          ? std::min(1.0, (fine + 1.0 / static_cast<double>(std::max<int64_t>(steps_per_epoch, 1))) /
                              warmup_epochs)
          : 1.0;
  if (shape == "constant") return lr * warm;
  if (shape == "step") {
    const auto passed =
        std::count_if(milestones.begin(), milestones.end(), [&](double m) { return fine >= m; });
    return lr * warm * std::pow(gamma, static_cast<double>(passed));
  }
  const double progress = (per_step ? fine : static_cast<double>(epoch)) / (epochs > 0 ? epochs : 1);
  return lr * warm * 0.5 * (1 + std::cos(progress * 3.14159265358979323846));
}

}  // namespace gw::inline train
