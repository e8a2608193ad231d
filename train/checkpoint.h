#pragma once
#include <torch/nn/module.h>

#include "models/safetensors.h"
#include "train/optimizer.h"

namespace gw {

/// Below every score; finite, because JSON has no infinity.
inline constexpr double kNoScore = -1e300;

/// Where training stands. The random state needs no place: every draw is a function of (seed, epoch, batch).
struct Progressed {
  int64_t epoch = 0, batch = 0, step = 0;  ///< the next batch to train on, and the steps done
  double best = kNoScore;                  ///< validation score of the best checkpoint so far, larger is better
};

/// Names: "model/<parameter or buffer>", "experts/<optimizer state>", "router/<optimizer state>".
SafetensorsFile pack_checkpoint(const torch::nn::Module& network, const Optimizer* experts, const Optimizer* router, const Progressed& progressed,
                                const Json& config);
/// Writes the checksum of everything else into the header, as pack_checkpoint does; for a file that was changed on purpose.
void seal_checkpoint(SafetensorsFile& file);
/// Copies the model's tensors. Errors: ValueError listing the tensors that are missing, unexpected or of another shape
/// (at most ten of each), or if the checksum is not that of the content, before anything is written.
void load_model(torch::nn::Module& network, const SafetensorsFile& file, const std::string& path);
/// The same and the optimizers' state; returns where training stood.
Progressed unpack_checkpoint(torch::nn::Module& network, Optimizer* experts, Optimizer* router, const SafetensorsFile& file, const std::string& path);
/// The configuration that wrote the checkpoint. Errors: ValueError if the file has none.
Json checkpoint_config(const SafetensorsFile& file, const std::string& path);

}  // namespace gw
