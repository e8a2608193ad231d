#pragma once
// What a forward pass in evaluation did, step by step, so that it can be compiled.
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/ops/activation_function.h"

namespace gw::ops {

/// One step on maps [B, C, H, W] or rows [B, C]. Which fields speak depends on `kind`.
struct Step {
  enum class Kind {
    kConvolution,        ///< weight [out, C, k, k], bias or none, stride, padding, residual or none, relu
    kMergedConvolution,  ///< the same with weight [E·out, C, k, k] merged by `mixing` [B, E]
    kScale,              ///< x·weight + bias by channel, relu
    kMaxPool,            ///< windows of `size`, `ceil`
    kAveragePool,        ///< windows of `size`
    kMean,               ///< over a map: [B, C, H, W] → [B, C]
    kAdaptivePool,       ///< means of size×size windows, flattened: [B, C·size²]
    kActivation,         ///< `activation`
    kSum,                ///< x + other
    kConcatenation,      ///< channels of x, then of other
    kLinear,             ///< x weightᵀ + bias
    kMix,                ///< rows [B, E·n] → [B, n], the E parts weighed by `mixing` [B, E]
    kSubsample,          ///< every stride-th pixel, `padding` channels of zeros before and the rest behind
  };
  Kind kind;
  at::Tensor x = {}, out = {}, weight = {}, bias = {}, other = {};  ///< other: second operand or residual
  at::Tensor mixing = {};
  int64_t stride = 1, padding = 0, size = 0;
  bool relu = false, ceil = false;
  const ActivationFunction* activation = nullptr;  ///< of a living module
};

/// Writes down the steps of the layers that this thread runs while it lives; nothing is computed otherwise.
/// Layers report what they really did in evaluation, with batch norms folded; a layer that reports nothing
/// shows as an input that no step made. Nests: the innermost log alone is written.
class StepLog {
 public:
  StepLog() : outer_(current()) { current() = this; }
  ~StepLog() { current() = outer_; }
  StepLog(const StepLog&) = delete;
  StepLog& operator=(const StepLog&) = delete;
  const std::vector<Step>& steps() const { return steps_; }

  static bool wanted() { return current() != nullptr; }
  /// make() → Step; not called where nobody listens.
  template <class Make>
  static void add(const Make& make) {
    if (wanted()) current()->steps_.push_back(make());
  }

 private:
  static StepLog*& current() {
    thread_local StepLog* log = nullptr;
    return log;
  }
  StepLog* outer_;
  std::vector<Step> steps_;
};

}  // namespace gw::ops
