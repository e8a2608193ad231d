#pragma once
// Counter-based randomness: a number is a pure function of (seed, purpose, indices). Nothing needs to be
// saved to resume a run, and neither the thread count nor the order of draws can change a value.
#include <cstdint>
#include <string_view>
#include <vector>

namespace gw::inline base {

/// A node in the tree of random streams. Copying is free; `fork` never changes the parent.
class Rng {
 public:
  explicit Rng(uint64_t seed) : key_(mix(seed ^ 0x9E3779B97F4A7C15ull)) {}

  /// A stream of its own for a purpose ("augment", "attack") and an index (epoch, step, sample).
  Rng fork(std::string_view purpose, uint64_t index = 0) const;
  uint64_t key() const { return key_; }

  /// The i-th draw of this stream, uniform on 64 bits (SplitMix64 of key and counter).
  uint64_t bits(uint64_t i) const { return mix(key_ + 0x9E3779B97F4A7C15ull * (i + 1)); }
  /// Uniform on [0, 1), 53 bits.
  double uniform(uint64_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1.0p-53; }
  /// Uniform on {0 … n-1}; bias below n / 2^64.
  uint64_t below(uint64_t i, uint64_t n) const;
  /// A permutation of {0 … n-1} (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n) const;

 private:
  static uint64_t mix(uint64_t z);
  uint64_t key_;
};

}  // namespace gw::inline base
