#pragma once
// Runs the bodies of the CUDA levels (gatewright/kernels/cuda/block.h) on the host: blocks, phases and
// threads one after the other, in an order that the test chooses.
// Shared and private memory begin as NaN, device memory too and exactly as large as asked for. What it cannot
// show: divergence, memory models, real speed.
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "gatewright/kernels/cuda/block.h"

namespace gw::test {

/// Who goes first. A phase that reads what another thread writes in the same phase, or a block that reads
/// what another block of the launch writes, gives another answer in one of the orders.
enum class Order { rising, falling, odd_first };

inline int64_t nth(Order order, int64_t i, int64_t count) {
  if (order == Order::rising) return i;
  if (order == Order::falling) return count - 1 - i;
  const int64_t odd = count / 2;
  return i < odd ? 2 * i + 1 : 2 * (i - odd);
}

/// A block of emulated threads.
template <class Body>
class EmulatedBlock {
 public:
  using Shared = typename Body::Shared;
  using Private = typename Body::Private;
  static_assert(std::is_trivially_copyable_v<Shared> && std::is_trivially_copyable_v<Private> &&
                Body::kThreads % kernels::cuda::kWarp == 0);

  EmulatedBlock(int64_t index, Order order) : index_(index), order_(order), mine_(Body::kThreads) {
    std::memset(static_cast<void*>(&shared_), 0xff, sizeof shared_);
    std::memset(static_cast<void*>(mine_.data()), 0xff, mine_.size() * sizeof(Private));
  }
  int64_t index() const { return index_; }
  template <class Phase>
  void each(const Phase& phase) {
    for (int64_t i = 0; i < Body::kThreads; ++i) {
      const auto thread = static_cast<size_t>(nth(order_, i, Body::kThreads));
      phase(static_cast<int>(thread), mine_[thread], shared_);
    }
  }
  /// A warp's registers are its first thread's.
  template <class Phase>
  void each_warp(const Phase& phase) {
    constexpr int64_t kWarps = Body::kThreads / kernels::cuda::kWarp;
    for (int64_t i = 0; i < kWarps; ++i) {
      const auto warp = static_cast<size_t>(nth(order_, i, kWarps));
      phase(static_cast<int>(warp), mine_[warp * kernels::cuda::kWarp], shared_);
    }
  }

 private:
  int64_t index_;
  Order order_;
  Shared shared_;
  std::vector<Private> mine_;
};

/// The Device of gatewright/kernels/cuda/call.h. Fails where it is told to.
class EmulatedDevice {
 public:
  Order order = Order::rising;
  bool present = true;
  int fail_allocation = -1, fail_launch = -1;  ///< which one from now on, counted from 0

  int64_t held() const {
    return static_cast<int64_t>(blocks_.size());
  }  ///< blocks of memory that were not given back
  int64_t bytes() const { return bytes_; }
  int64_t most_bytes() const { return most_; }
  int launches() const { return launches_; }

  std::string missing() const { return present ? "" : "no CUDA-capable device is detected"; }
  void* allocate(int64_t bytes) {
    if (fail_allocation-- == 0) return nullptr;
    void* place = std::malloc(static_cast<size_t>(bytes));
    std::memset(place, 0xff, static_cast<size_t>(bytes));
    blocks_[place] = bytes;
    bytes_ += bytes;
    most_ = bytes_ > most_ ? bytes_ : most_;
    return place;
  }
  void release(void* place) {
    if (place == nullptr) return;
    const auto it = blocks_.find(place);
    if (it == blocks_.end()) std::abort();  // given back twice, or never taken
    bytes_ -= it->second;
    blocks_.erase(it);
    std::free(place);
  }
  template <class Body>
  std::string launch(int64_t blocks, const Body& body) {
    static_assert(std::is_trivially_copyable_v<Body> && sizeof(Body) <= 4096 &&
                  sizeof(typename Body::Shared) <= 48 << 10);
    ++launches_;
    if (fail_launch-- == 0) return "invalid configuration argument";
    for (int64_t i = 0; i < blocks; ++i) {
      EmulatedBlock<Body> block(nth(order, i, blocks), order);
      body(block);
    }
    return "";
  }
  std::string finish() { return ""; }
  void copy(void* to, const void* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

 private:
  std::map<void*, int64_t> blocks_;
  int64_t bytes_ = 0, most_ = 0;
  int launches_ = 0;
};

}  // namespace gw::test
