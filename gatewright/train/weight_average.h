#pragma once
#include <torch/nn/module.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gw::inline train {

/// The exponential average of a model's weights, and of its floating-point buffers (batch statistics), over
/// the training steps.
/// Math:   ā ← d·ā + (1 − d)·w after step t = 1, 2, …, d = min(decay, (1 + t) / (10 + t)): the weights of the
///         start, which no step has improved, are soon forgotten.
/// Cost:   one read of the weights and one pass over the average per step, elementwise in the weights' type:
///         the same bits for any number of threads.
/// Source: Polyak & Juditsky 1992; the ramp is that of TensorFlow's ExponentialMovingAverage.
class WeightAverage {
 public:
  /// Begins at the model's present values.
  WeightAverage(const torch::nn::Module& model, double decay);
  void update(int64_t steps_done);

  /// By the model's names, for checkpoints.
  std::map<std::string, at::Tensor> state() const;
  /// Errors: ValueError naming the first tensor that is missing, of another shape or type, or of another
  ///         model; nothing changed then.
  void load_state(const std::map<std::string, at::Tensor>& state);

  /// While one is alive the model has the averages in place of its own values.
  class Scope {
   public:
    /// Null: the model stays as it is.
    explicit Scope(const WeightAverage* average);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const WeightAverage* average_;
    std::vector<at::Tensor> own_;
  };

 private:
  struct Entry {
    std::string name;
    at::Tensor value, average;
  };
  std::vector<Entry> entries_;
  double decay_;
};

}  // namespace gw::inline train
