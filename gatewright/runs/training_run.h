#pragma once
#include "gatewright/runs/arm.h"
#include "gatewright/train/trainer.h"

namespace gw::inline runs {

/// Trains (or resumes) into a run directory: recipe, metrics, events, checkpoints; then evaluates on the test
/// examples and writes evaluation.json, of images samples.json too.
/// Returns the metrics by name: what the task measures, and
///   images: clean_accuracy, robust_accuracy (worst case over the attacks), robust.<attack>, flip_rate,
///           load_entropy, macs, macs_ratio (pathway + router against the dense network of the same
///           backbone), pathway_ratio, router_ratio, ms_per_image.<b>, dense_ms_per_image.<b> and
///           time_ratio.<b> for b = 1, 128;
///   others: experts_per_token, over all layers that choose, experts_per_token_spread, the largest minus the
///           smallest mean of a domain, macs, ms_per_example.<b>;
///           of tables whose interactions are known pairs_found and pairs_found_by_attention
///           (gatewright/train/field_pairs.h);
///   all:    parameters; ms_per_step, the median of the training steps; of layers that decide max_load and
///           without_expert, means over the training steps (objectives/natural);
/// as curves over the steps what was recorded, "train.loss", "validation.<measure>" and so on; and the table
/// "experts" of a model that routes and "pairs" of one whose fields look at each other (results.json).
/// A finished run is not trained again: its metrics are read from metrics.json.
ArmResult run_training(const TrainConfig& config, const ArmRun& run);

/// Names of the metrics and curves that such a run may leave.
LeftNames training_names(const TrainConfig& config);
/// True if such a run measures images: clean and attacked, beside a dense network.
bool trains_images(const TrainConfig& config);

}  // namespace gw::inline runs
