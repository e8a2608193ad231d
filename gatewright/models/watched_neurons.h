#pragma once
#include "gatewright/models/model.h"

namespace gw::inline models {

/// Beside Model: hidden layers whose neurons can be watched and protected one by one, and contexts that gate
/// them.
class WatchedNeurons {
 public:
  struct Layer {
    at::Tensor weight, bias;  ///< into the layer: [neurons, inputs], [neurons]
  };
  virtual ~WatchedNeurons() = default;
  /// As Model::answer; `hidden` receives what each hidden layer gives, [B, neurons], for its gradient.
  virtual Output watched_answer(const Batch& batch, const Pass& pass, std::vector<at::Tensor>& hidden) = 0;
  virtual std::vector<Layer> hidden_layers() const = 0;
  /// How many contexts there may be: the values of "domain".
  virtual int64_t contexts() const = 0;
};

}  // namespace gw::inline models
