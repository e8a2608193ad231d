#pragma once

namespace gw::ops {

/// While one is alive, modules in evaluation mode treat their parameters as constants even when gradients are recorded:
/// batch norm is folded into the convolution before it and no weight gradient is computed. Attacks need the gradient of
/// the images alone; this saves a third of the backward pass and every normalisation pass. Per thread; nests.
class FrozenParameters {
 public:
  FrozenParameters() { ++depth(); }
  ~FrozenParameters() { --depth(); }
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;
  static bool active() { return depth() > 0; }

 private:
  static int& depth() {
    thread_local int value = 0;
    return value;
  }
};

}  // namespace gw::ops
