#pragma once
#include "gatewright/models/watched_neurons.h"

namespace gw::inline train {

/// How free each hidden neuron still is to change.
/// Math:   relevance R_i = mean over the batch of (∂L_b/∂h_i · h_i)², divided by its mean over the layer;
///         A_i ← clip(A_i − rate · A_i (R_i − ε), 0, 1), from 1. What was used becomes unavailable; ε > 0
///         lets what was not become available again.
/// Source: Barry, Gerstner, Bellec 2023 (GateON, the version by neurons), arXiv 2306.01690.
class NeuronGuard {
 public:
  NeuronGuard(std::vector<WatchedNeurons::Layer> layers, double rate, double epsilon);
  /// `hidden` and the gradients of the mean loss by them, [B, neurons] each, of one batch.
  void note(const std::vector<at::Tensor>& hidden, const std::vector<at::Tensor>& gradients);
  /// From here on what was noted protects: at the end of a task.
  void commit();
  /// The weights into the layers as they are now, for `restrain`.
  std::vector<at::Tensor> before() const;
  /// Takes back the share 1 − A of every change since `before`: a factor on the update, as a factor on the
  /// gradient would do nothing behind an optimizer that divides by its size.
  void restrain(const std::vector<at::Tensor>& before) const;
  /// The share of the neurons with A < 0.05.
  double taken() const;
  const std::vector<at::Tensor>& availability() const { return noted_; }

 private:
  std::vector<WatchedNeurons::Layer> layers_;
  double rate_, epsilon_;
  std::vector<at::Tensor> noted_, committed_;
};

}  // namespace gw::inline train
