#pragma once
#include <torch/nn/module.h>

#include "gatewright/base/json.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/train/optimizer.h"

namespace gw::inline train {

/// Below every score; finite, because JSON has no infinity.
inline constexpr double kNoScore = -1e300;

/// Where training stands. The random state needs no place: every draw is a function of (seed, epoch, batch).
struct TrainState {
  int64_t epoch = 0, batch = 0, step = 0;  ///< the next batch to train on, and the steps done
  double best = kNoScore;  ///< validation score of the best checkpoint so far, larger is better
  Json kept = nullptr;     ///< what the run keeps beside: how far its logs reached, say
  double seconds = 0;      ///< used of a budget in seconds; kept for such runs only
  int64_t stale = 0;       ///< epochs since the validation was better than ever; kept with a patience only
};

/// Names: "model/<parameter or buffer>", "experts/<optimizer state>", "router/<optimizer state>"; a run that
/// averages its weights adds "average/<parameter or buffer>".
SafetensorsFile pack_checkpoint(const torch::nn::Module& network, const Optimizer* experts,
                                const Optimizer* router, const TrainState& progressed, const Json& config);
/// Writes the checksum of everything else into the header, as pack_checkpoint does; for a file that was
/// changed on purpose.
void seal_checkpoint(SafetensorsFile& file);
/// The tensors whose names begin with `prefix`, without it.
std::map<std::string, at::Tensor> tensors_under(const SafetensorsFile& file, const std::string& prefix);
/// The checksum that the file carries, "" for none: what tells one checkpoint from another.
std::string checkpoint_checksum(const SafetensorsFile& file);
/// A checkpoint from a file. Errors: ValueError with the remedy for an empty, cut, damaged or foreign file,
/// and for one of an earlier format, which had no checksum that must be there: it is made again, not
/// believed; IoError.
SafetensorsFile load_checkpoint(const std::string& path);
/// Copies the model's tensors. Errors: ValueError if format or checksum are not as they were written, before
/// names are even compared;
/// listing the tensors that are missing, unexpected or of another shape (at most ten of each). Nothing is
/// changed then.
void load_model(torch::nn::Module& network, const SafetensorsFile& file, const std::string& path);
/// The same and the optimizers' state; returns where training stood. Errors: also ValueError for state that
/// is not finite.
TrainState unpack_checkpoint(torch::nn::Module& network, Optimizer* experts, Optimizer* router,
                             const SafetensorsFile& file, const std::string& path);
/// The configuration that wrote the checkpoint. Errors: ValueError if the file has none.
Json checkpoint_config(const SafetensorsFile& file, const std::string& path);

}  // namespace gw::inline train
