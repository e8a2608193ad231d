#pragma once
// A trained model run step by step over a stream, beside itself run on the whole window again at every step.
#include "gatewright/models/model.h"
#include "gatewright/runs/arm.h"

namespace gw::inline runs {

struct StepTrialOptions : OptionSet {
  int64_t steps = 256, domain = 0;
  void fields(OptionVisitor& v) override;
};

/// The stream: the test sequences of one domain, in order, one behind the other. From the first step on that
/// has all of the receptive field before it, `steps` answers are held to those of the model to the window of
/// that many tokens.
///   difference       largest |step − window| over the largest |window|
///   agreement        share of the steps whose largest value is at the same place
///   delay, receptive_field     in tokens
///   macs_step, macs_window, macs_ratio     multiply-adds that were executed for one answer
///   ms_step, ms_window, time_ratio, speedup    medians of one stream, in turns; window over step. Without a
///                    clock in `run`, or for no timing rounds, no times are left.
/// Errors: ValueError for a model that has no steps, a domain that is not there, and too short a stream;
///         Interrupted.
std::map<std::string, double> try_steps(Model& model, const TensorSet& test, const StepTrialOptions& options,
                                        const ArmRun& run);
std::vector<std::string> step_trial_metrics();

}  // namespace gw::inline runs
