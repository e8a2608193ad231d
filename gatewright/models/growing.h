#pragma once
// Models whose number of experts changes while they learn, and what their experts say of an input.
#include <ATen/core/Tensor.h>

#include "gatewright/base/rng.h"

namespace gw::inline models {

/// Beside Model: experts may be added up to a number that was set when it was built, so that parameters and
/// the optimizer's state keep their shapes.
class GrowingExperts {
 public:
  virtual ~GrowingExperts() = default;
  virtual int64_t experts() const = 0;
  virtual int64_t most_experts() const = 0;
  /// Adds a copy of expert `like` (its place among those that are there) with a little noise, which the gate
  /// gives an even share at first. False where there is no room; nothing is changed then.
  virtual bool grow(int64_t like, const Rng& rng) = 0;
  /// Takes an expert away. Errors: ValueError for the last one.
  virtual void drop(int64_t expert) = 0;
};

/// Beside Model: exact shares of the inputs in an answer.
class Attributing {
 public:
  virtual ~Attributing() = default;
  /// Shapley values [B, D] with the gate held at x, against a mean row [D]: of the log odds of the second
  /// of two classes; of more classes, of the mixed score of the answered class over the mean of all, with
  /// that class held too.
  virtual at::Tensor attributions(const at::Tensor& x, const at::Tensor& mean) const = 0;
};

}  // namespace gw::inline models
