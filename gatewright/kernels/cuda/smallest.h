#pragma once
#include "gatewright/kernels/cuda/block.h"
#include "gatewright/kernels/cuda/fault.h"

namespace gw::kernels::cuda {

/// The smallest of `count` numbers, kNoFault for none: one block.
struct SmallestBody {
  static constexpr int kThreads = 256;
  struct Shared {
    int64_t least[kThreads];
  };
  using Private = Nothing;

  const int64_t* from;
  int64_t count;
  int64_t* to;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    block.each([&](int thread, Private&, Shared& shared) {
      int64_t least = kNoFault;
      for (int64_t i = thread; i < count; i += kThreads) least = from[i] < least ? from[i] : least;
      shared.least[thread] = least;
    });
    fold(block, kThreads,
         [](Shared& s, int i, int j) { s.least[i] = s.least[j] < s.least[i] ? s.least[j] : s.least[i]; });
    block.each([&](int thread, Private&, Shared& shared) {
      if (thread == 0) *to = shared.least[0];
    });
  }
};

}  // namespace gw::kernels::cuda
