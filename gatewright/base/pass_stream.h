#pragma once
// Random streams for passes that were given none.
#include <atomic>
#include <cstdint>

#include "gatewright/base/rng.h"

namespace gw::inline base {

/// A stream of its own for every pass: the n-th training pass, and the n-th in evaluation, counted apart, so
/// that evaluating more often does not change a training. The same start gives the same draws. `next` may be
/// called from several threads; which of them gets which stream is then a matter of timing.
class PassStream {
 public:
  explicit PassStream(const Rng& rng) : rng_(rng) {}
  Rng next(bool training) {
    return rng_.fork(training ? "training pass" : "evaluation pass", (training ? training_ : evaluation_)++);
  }
  /// From the first pass on, with other draws.
  void restart(const Rng& rng) { rng_ = rng, training_ = 0, evaluation_ = 0; }
  /// Passes done, for saving; what `resume` is given makes the following passes draw as if the process had
  /// not ended.
  uint64_t passes(bool training) const { return training ? training_ : evaluation_; }
  void resume(uint64_t training, uint64_t evaluation) { training_ = training, evaluation_ = evaluation; }
  /// The other stream, as it stands.
  void follow(const PassStream& other) { rng_ = other.rng_, resume(other.training_, other.evaluation_); }

 private:
  Rng rng_;
  std::atomic<uint64_t> training_{0}, evaluation_{0};
};

}  // namespace gw::inline base
