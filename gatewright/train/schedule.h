#pragma once
#include "gatewright/base/options.h"

namespace gw::inline train {

/// Learning rate over a run.
/// Math: cosine: lr·(1 + cos(π·t))/2; step: lr·γ^{milestones passed}; constant: lr. t = progress in [0, 1).
struct Schedule : OptionSet {
  std::string shape = "cosine";
  double lr = 0.1;
  bool per_step = false;  ///< cosine by step instead of by epoch (the published code goes by epoch)
  double warmup_epochs = 0;
  std::vector<double> milestones;  ///< epochs at which the step schedule multiplies by gamma
  double gamma = 0.1;
  void fields(OptionVisitor& v) override;
  /// `epochs`: of the whole run, a fraction where a budget ends it within one.
  double at(int64_t epoch, int64_t step, int64_t steps_per_epoch, double epochs) const;
};

}  // namespace gw::inline train
