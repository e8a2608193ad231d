#pragma once
// A trained model with its experts in fewer bits.
#include "gatewright/train/trainer.h"

namespace gw::inline train {

struct ConvertOptions {
  std::string weights = "int8";  ///< bf16, int8 or int4
  int64_t group = 0;             ///< inputs that share a scale; 0: a row (int8), 128 (int4)
};

/// The configuration of the converted model. Errors: ValueError for a model without layers of gw::Mixture
/// (image networks), and for one that is converted already.
TrainConfig converted_config(const TrainConfig& config, const ConvertOptions& options);

/// What was trained, with the experts' weights as `config` (of converted_config) says; all else is copied.
/// Errors: ValueError as Bank::take.
/// Cost: both models in memory.
std::shared_ptr<Model> converted(Model& trained, const TrainConfig& config, const TaskData& data,
                                 const Task& task);

/// Bytes of parameters and buffers.
int64_t bytes_of(const torch::nn::Module& model);

/// Writes `model` as a checkpoint that other commands read: whole or not at all.
void save_converted(const std::string& path, const Model& model, const TrainConfig& config);

}  // namespace gw::inline train
