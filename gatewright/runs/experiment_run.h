#pragma once
#include "gatewright/runs/training_run.h"

namespace gw::inline runs {

/// True if a merged recipe table asks for a statistical experiment (key "experiment") and not for a training.
bool is_experiment(const Json& table);

/// Makes the experiment and forgets it: errors of the recipe show before any arm runs.
/// Errors: ValueError for keys beside name, arm, seed and experiment, and for what the part refuses.
void check_experiment(const Json& table);

/// Runs one arm of a statistical recipe with one seed into a run directory: recipe.json, rates.json (curves
/// over the experiment's axis, for the report), metrics.json. A finished run of the same table is read and
/// not run again. Metrics that are not finite are left out, so that their marks do not hold.
ArmResult run_experiment_arm(const Json& table, const TrainingRun& run);

}  // namespace gw::inline runs
