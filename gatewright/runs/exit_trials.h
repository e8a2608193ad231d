#pragma once
// Exits on a trained network, measured: accuracy against cost and against the clock.
#include "gatewright/runs/arm.h"
#include "gatewright/train/early_exits.h"

namespace gw::inline runs {

struct ExitTrialOptions : ExitOptions {
  std::vector<double> prices{0.02, 0.1, 0.5, 1, 2};
  double price = 0.5, at_cost = 0.6, bound = 0.05, confidence = 0.9;
  void fields(OptionVisitor& v) override;
};

struct ExitTrialData {
  TensorSet train, validation, test;
};

struct ExitTrialResult {
  std::map<std::string, double> metrics;
  std::map<std::string, Curve> curves;
  std::map<std::string, ValueTable> tables;
};

/// Curves over the cost: "accuracy" of exits and gates learned jointly, at each of the prices; of exits
/// trained alone with a threshold on their confidence, "threshold.accuracy". Metrics, those of exits trained
/// alone after "threshold.":
///   full_accuracy        of the model without exits
///   exit_accuracy, cost  at `price`; cost: mean multiply-adds over those of the network
///   area                 mean accuracy over the costs that both curves have
///   accuracy_at, ece_at  where the cost is `at_cost`, between the neighbours of the curve
///   falls                1 if the cost falls strictly with the price
///   calibrated.accuracy, .cost, .left, .error     of a threshold with a bound on the error of those that
///                        leave early: accuracy of all, cost, share that leaves, error among it
///   time_ratio.b         for batches of 1 and 128 test examples at `price`: time of an image by stages with
///                        exits over that of the same network run whole, medians over batches in turns
///   compiled_ratio.b     the same over the network as a server would run it (gatewright/train/timing.h)
/// Table "exits": share that leaves at each, its accuracy and cost, at `price`.
/// Without a clock in `run`, or for no timing rounds, no times are left.
/// Errors: ValueError without validation examples; Interrupted.
/// Cost: a pass of all images, then a training of classifiers and gates for each price, and two more.
ExitTrialResult try_exits(const std::shared_ptr<Model>& model, const ExitTrialData& data,
                          const ExitTrialOptions& options, uint64_t seed, const ArmRun& run);
LeftNames exit_trial_names();

}  // namespace gw::inline runs
