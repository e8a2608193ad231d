#pragma once
#include <atomic>
#include <cstdio>
#include <functional>

#include "gatewright/runs/run_data.h"
#include "gatewright/runs/run_directory.h"
#include "gatewright/train/check.h"
#include "gatewright/train/trainer.h"

namespace gw::inline runs {

/// One training run into a run directory: recipe, metrics, events, checkpoints, then the evaluation and
/// sample images.
struct TrainingRun {
  std::string directory;
  bool resume = false;
  const std::atomic<bool>* stop = nullptr;
  std::FILE* progress = nullptr;               ///< null: silent
  std::function<double()> now_s, wall_time_s;  ///< steady clock and seconds since 1970
  int64_t timing_rounds = 30;                  ///< 0: no timings
  About about = {};                            ///< written to about.json by the first start of the run
};

/// Trains (or resumes), evaluates on the test images and writes evaluation.json and samples.json.
/// Returns the metrics by name: clean_accuracy, robust_accuracy (worst case over the attacks),
/// robust.<attack>, flip_rate, load_entropy, macs, macs_ratio (pathway + router against the dense network of
/// the same backbone), pathway_ratio, ms_per_image.<b> and time_ratio.<b> for b = 1, 128, parameters.
/// A finished run is not trained again: its metrics are read from metrics.json.
ArmResult run_training(const TrainConfig& config, const TrainingRun& run);

/// Writes about.json, unless nobody said anything or the run has one: a resumed run keeps where it came from.
void note_origin(RunDirectory& directory, const About& about);

/// The metrics of a finished run, if the directory holds one of this very config.
bool finished_run(const std::string& directory, const TrainConfig& config, ArmResult& result);

}  // namespace gw::inline runs
