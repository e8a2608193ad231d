#include "gatewright/text/byte_trie.h"

#include "gatewright/base/check.h"

namespace gw::inline text {
namespace {
constexpr size_t kNodeLimit = size_t{1} << 26;
}

ByteTrie::ByteTrie() : slots_(64, Slot{kEmpty, kNone}), mask_(63), values_{-1} { first_.fill(kNone); }

void ByteTrie::link(uint64_t key, uint32_t node) {
  size_t slot = slot_of(key);
  while (slots_[slot].key != kEmpty) slot = (slot + 1) & mask_;
  slots_[slot] = {key, node};
  ++used_;
}

void ByteTrie::grow() {
  std::vector<Slot> old(slots_.size() * 2, Slot{kEmpty, kNone});
  old.swap(slots_);
  mask_ = slots_.size() - 1;
  used_ = 0;
  for (const Slot& slot : old)
    if (slot.key != kEmpty) link(slot.key, slot.node);
}

void ByteTrie::insert(std::string_view key, int32_t value) {
  uint32_t node = kRoot;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == kNone) {
      GW_CHECK(values_.size() < kNodeLimit,
               "vocabulary: expected tokens of at most {} bytes together, got more", kNodeLimit);
      next = static_cast<uint32_t>(values_.size());
      values_.push_back(-1);
      if (node == kRoot) {
        first_[byte] = next;
      } else {
        if (2 * (used_ + 1) > slots_.size()) grow();
        link(uint64_t{node} << 8 | byte, next);
      }
    }
    node = next;
  }
  values_[node] = value;
}

}  // namespace gw::inline text
