#pragma once
#include "gatewright/train/objective.h"
#include "gatewright/train/schedule.h"

namespace gw::inline train {

/// A short training on a small set; a table of an arm's options.
struct FineTune : OptionSet {
  PartChoice optimizer = "adam";
  Nested<Schedule> schedule;
  int64_t epochs = 1, batch = 128;
  void fields(OptionVisitor& v) override;
};

/// Asked before the first step and after each one with the steps done; false ends the training.
using GoesOn = std::function<bool(int64_t steps)>;

/// Trains all parameters of a trained model on `set` by the task's own loss, in training mode (batch norms
/// follow the set), without validation and without checkpoints: what an arm does with a few thousand examples
/// in seconds. The model is in evaluation mode afterwards. Returns the steps done.
/// Errors: NumericError where a loss or gradient is not finite; as Loader; whatever `goes_on` throws.
int64_t fine_tune(Model& model, const Task& task, const TensorSet& set, const FineTune& how, const Rng& rng,
                  const GoesOn& goes_on);

}  // namespace gw::inline train
