#pragma once
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "gatewright/ops/fingerprint.h"
#include "gatewright/ops/frozen.h"

namespace gw::ops {

/// What is computed from weights and kept until a value of them changes, however it was written: folded
/// convolutions, packed panels.
/// May be asked from several threads at once; a copy that was given out stays whole while another thread
/// makes anew.
/// Cost: one read of the sources per call; inside FrozenParameters one per scope, and then only a look at
///       their identities: a write there
/// that keeps storage and version counter (through data()) is not seen.
template <class T>
class Kept {
 public:
  /// `make` runs at most once per state of `sources`, without gradients, and its tensors are ordinary ones in
  /// InferenceMode too: an inference tensor kept here could not be saved for a later gradient.
  template <class Make>
  T get(const std::vector<at::Tensor>& sources, const Make& make) {
    const auto identity = identity_of(sources);
    if (FrozenParameters::active()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (value_ && seen_ >= FrozenParameters::since() && identity == identity_) return *value_;
    }
    const uint64_t now = FrozenParameters::now();  // before the values are read
    const uint64_t state = fingerprint(sources);   // outside the lock: it takes the time
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!value_ || state != state_) {
      const c10::InferenceMode ordinary(false);
      const at::NoGradGuard no_grad;  // after the line above, which turns gradients on
      value_ = make(), state_ = state, seen_ = now;
    }
    identity_ = identity, seen_ = std::max(seen_, now);
    return *value_;
  }

 private:
  struct Identity {
    const void* data;
    at::ScalarType dtype;
    uint32_t version;
    bool operator==(const Identity&) const = default;
  };

  static std::vector<Identity> identity_of(const std::vector<at::Tensor>& sources) {
    std::vector<Identity> out;
    for (const auto& t : sources) {
      if (!t.defined()) continue;
      out.push_back(
          {t.data_ptr(), t.scalar_type(), t.is_inference() ? 0 : static_cast<uint32_t>(t._version())});
    }
    return out;
  }

  std::mutex mutex_;
  std::optional<T> value_;
  uint64_t state_ = 0, seen_ = 0;  // fingerprint of the sources, and when they last had it
  std::vector<Identity> identity_;
};

}  // namespace gw::ops
