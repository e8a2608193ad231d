#pragma once
// Models that answer a stream step by step, each token computed once.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace gw::inline models {

/// Where a model stands in S streams. One thread at a time; the model outlives it. Evaluation, no gradients.
class StepSession {
 public:
  virtual ~StepSession() = default;
  /// Takes the next token of each stream [S] int64 and gives the answers [S, width] that are then complete:
  /// those of the token that came Steppable::delay() steps earlier, undefined before there is one.
  /// Errors: ValueError for another number of streams than before, and for tokens behind the end.
  virtual at::Tensor step(const at::Tensor& token) = 0;
  /// Behind the end of the streams: the next of the answers that wait, undefined when none is left.
  virtual at::Tensor finish() = 0;
  /// As if nothing had come yet; any number of streams may follow.
  virtual void reset() = 0;
};

/// A Model that can do so. What it answers step by step is what it answers to a window of at least
/// `receptive_field()` tokens: for each token, at the window's last but `delay()`; for a whole sequence, to
/// the window that ends with the token that came last.
class Steppable {
 public:
  virtual ~Steppable() = default;
  virtual std::unique_ptr<StepSession> open_steps() = 0;
  /// By how many steps an answer comes later than its token: how far the model looks ahead.
  virtual int64_t delay() const = 0;
  /// Tokens that an answer depends on.
  virtual int64_t receptive_field() const = 0;
};

}  // namespace gw::inline models
