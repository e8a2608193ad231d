#pragma once
// How often a bound on what is kept is broken, by splitting the same examples many times.
#include <map>

#include "gatewright/base/rng.h"
#include "gatewright/train/deferral.h"

namespace gw::inline train {

struct DeferralTrials {
  Calibration examples;            ///< seen by neither training nor the choice of a checkpoint
  std::vector<bool> expert_right;  ///< of each example
  DeferralBound bound;
  double held_out = 0.3;  ///< share of the examples that calibrates
  int64_t thresholds = 100, trials = 200;
};

/// Splits the examples `trials` times: a tenth places the thresholds, the share `held_out` calibrates, the
/// rest is the test. Returns
///   model_accuracy                    of all examples, without deferral
///   coverage, joint_accuracy          means over the splits: share kept, and right answers of both together
///   kept_error                        the mean over the splits that keep anything; absent without one
///   let_through                       kept errors per input, the mean
///   expert_accuracy                   over all that was handed over; absent if nothing was
///   bound, silent                     the bound; the share of the splits that keep nothing
///   broken                            the share of the splits in which the measured error of the kept rest
///                                     exceeds the bound. The test is finite: where a bound holds with a
///                                     confidence exactly, this share is a little above one minus it
/// Errors: those of calibrate_deferral; ValueError for fewer examples than three parts need.
/// Cost:   trials · n log n.
std::map<std::string, double> measure_deferral(const DeferralTrials& trials, const Rng& rng);

}  // namespace gw::inline train
