#pragma once
// What arms share that start from a trained model and leave measurements instead of weights.
#include "gatewright/runs/arm.h"
#include "gatewright/train/answers.h"
#include "gatewright/train/trainer.h"

namespace gw::inline runs {

/// True for arms that train a model: trials leave no number of parameters.
bool trains(const Arm& arm);
/// True for arms that leave `metric`.
bool leaves_metric(const Arm& arm, const std::string& metric);
/// True for arms that train a classifier: known before anything runs.
bool trains_classes(const Arm& arm);

/// The model of a finished training, its data and its task, with the weights of its best checkpoint.
/// Errors: as load_checkpoint and load_data.
std::unique_ptr<Trainer> open_trained(const Artefact& source);
/// Its model alone, for data that are there already. Errors: as load_checkpoint.
std::shared_ptr<Model> trained_model(const Artefact& source, const TaskData& data);
/// The checksum of that checkpoint, which tells a run that started from it from one that did not.
std::string start_checksum(const Artefact& source);

/// What tells a run of such an arm from others: name, arm and seed of a recipe's table, and the options of
/// its kind under the kind's name. The arm adds "start", the checksums of what it started from.
Json measured_table(const TrainConfig& config, const std::string& kind, OptionSet& options);

/// A run of `table` from beginning to end, or the one that the directory holds already: `measure` fills in
/// metrics, curves and tables, which are then written. Nothing is kept of a run that is interrupted.
ArmResult run_measured(const Json& table, const ArmRun& run, const std::function<void(ArmResult&)>& measure);

/// Throws Interrupted, saying what was going on, once a stop is requested.
Tick stopping(const ArmRun& run, const std::string& doing);

}  // namespace gw::inline runs
