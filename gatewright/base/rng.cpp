#include "gatewright/base/rng.h"

#include <numeric>
#include <utility>

namespace gw::inline base {

uint64_t Rng::mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

Rng Rng::fork(std::string_view purpose, uint64_t index) const {
  uint64_t hash = 0xCBF29CE484222325ull;  // FNV-1a: stable across platforms, unlike std::hash
  for (const char c : purpose) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  Rng child(0);
  child.key_ = mix(mix(key_ ^ hash) + 0x9E3779B97F4A7C15ull * (index + 1));
  return child;
}

uint64_t Rng::below(uint64_t i, uint64_t n) const {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(bits(i)) * n) >> 64);
}

std::vector<int64_t> Rng::permutation(int64_t n) const {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) {
    const auto j = below(static_cast<uint64_t>(i), static_cast<uint64_t>(i) + 1);
    std::swap(order[static_cast<size_t>(i)], order[j]);
  }
  return order;
}

}  // namespace gw::inline base
