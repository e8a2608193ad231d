#pragma once
// Keys of bytes, looked up a byte at a time.
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gw::inline text {

/// A set of keys with a number each. Built once, then shared by threads.
class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0, kNone = UINT32_MAX;

  ByteTrie();
  /// A key that is there already gets the new value. Errors: ValueError beyond 2^26 nodes.
  void insert(std::string_view key, int32_t value);
  /// The node below `node` by `byte`, kNone if no key goes there.
  uint32_t child(uint32_t node, unsigned char byte) const {
    if (node == kRoot) return first_[byte];
    const uint64_t key = uint64_t{node} << 8 | byte;
    for (size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].node;
      if (slots_[slot].key == kEmpty) return kNone;
    }
  }
  /// The value of the key that ends at `node`, -1 if none does.
  int32_t value(uint32_t node) const { return values_[node]; }
  bool empty() const { return values_.size() == 1; }

 private:
  struct Slot {
    uint64_t key;
    uint32_t node;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  size_t slot_of(uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull >> 20) & mask_; }
  void link(uint64_t key, uint32_t node);
  void grow();

  std::array<uint32_t, 256> first_;
  std::vector<Slot> slots_;
  size_t mask_ = 0, used_ = 0;
  std::vector<int32_t> values_;
};

}  // namespace gw::inline text
