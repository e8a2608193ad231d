#include "gatewright/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace gw::inline train {

namespace {

constexpr double kPi = 3.14159265358979323846;

/// Where in its cycle a run of `epochs` stands. Cycles end after kFirstCycle epochs, then twice and four
/// times as many later, as long as a cycle of twice that length fits behind; the last one ends with the run.
double place_in_cycle(double epoch, double epochs) {
  constexpr double kFirstCycle = 12;
  double begin = 0, length = kFirstCycle;
  while (epoch >= begin + length && begin + 3 * length <= epochs) begin += length, length *= 2;
  const double end = begin + 3 * length <= epochs ? begin + length : epochs;
  return end > begin ? std::clamp((epoch - begin) / (end - begin), 0.0, 1.0) : 1.0;
}

}  // namespace

void Schedule::fields(OptionVisitor& v) {
  v.text("shape", shape, "how the rate falls", {"cosine", "cycles", "step", "constant"});
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
  const double behind = per_step ? fine : static_cast<double>(epoch);
  const double place =
      shape == "cycles" ? place_in_cycle(behind, epochs) : behind / (epochs > 0 ? epochs : 1);
  return lr * warm * 0.5 * (1 + std::cos(place * kPi));
}

}  // namespace gw::inline train
