#pragma once
#include <atomic>
#include <cstdint>

namespace gw::ops {

/// While one is alive, modules in evaluation mode treat their parameters as constants even when gradients are
/// recorded:
/// batch norm is folded into the convolution before it and no weight gradient is computed. Attacks need the
/// gradient of the images alone; this saves a third of the backward pass and every normalisation pass. Per
/// thread; nests.
/// Nobody may write a weight while one is alive, in whichever thread: what is kept for weights
/// (gatewright/ops/kept.h) is compared with their values once per scope, not once per pass.
class FrozenParameters {
 public:
  FrozenParameters() {
    auto& here = state();
    if (here.depth++ == 0) here.since = ++clock();
  }
  ~FrozenParameters() { --state().depth; }
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;
  static bool active() { return state().depth > 0; }

  /// Counts the scopes of all threads. Who saw the weights at a time not before `since()` saw what this
  /// thread's scope holds constant.
  static uint64_t now() { return clock().load(); }
  static uint64_t since() { return state().since; }

 private:
  struct State {
    int depth = 0;
    uint64_t since = 0;
  };
  static State& state() {
    thread_local State value;
    return value;
  }
  static std::atomic<uint64_t>& clock() {
    static std::atomic<uint64_t> value{0};
    return value;
  }
};

}  // namespace gw::ops
