#pragma once
// Data as a training meets them: read, cut to size and transformed (load_data of train/trainer.h).
#include "gatewright/data/transform.h"
#include "gatewright/train/config.h"

namespace gw::inline train {

/// What is done to the data of a config, in order, each with draws of its own.
/// Errors: ValueError for unknown parts and options.
std::vector<std::shared_ptr<Transform>> make_transforms(const TrainConfig& config);
/// The probes that the transforms make of the test examples; none for a task that does not answer labels.
/// Errors: as the transforms.
Probes probes_of(const TrainConfig& config, const TensorSet& test);
/// Their names; known without data.
std::vector<std::string> probe_names(const TrainConfig& config);

}  // namespace gw::inline train
