#pragma once
// The words of a text repeat: their ids are copied from where they came before.
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "gatewright/text/model.h"

namespace gw::inline text {

/// Remembers, for one text, where in the list of ids those of a piece stand. The text must outlive it.
class PieceCache {
 public:
  explicit PieceCache(size_t pieces) {
    size_t slots = pieces < 32 ? 0 : 64;  // short texts repeat little
    while (slots != 0 && slots < pieces && slots < kSlots) slots *= 2;
    slots_.resize(slots);
  }

  void encode(const TokenModel& model, std::string_view piece, std::vector<int32_t>& ids) {
    if (slots_.empty() || piece.size() > kLongest_bytes) return model.encode(piece, ids);
    Slot& slot = slots_[std::hash<std::string_view>()(piece) & (slots_.size() - 1)];
    if (slot.piece == piece) {
      const size_t begin = ids.size();
      ids.resize(begin + slot.count);
      for (size_t i = 0; i < slot.count; ++i) ids[begin + i] = ids[slot.begin + i];
      return;
    }
    slot.begin = ids.size();
    model.encode(piece, ids);
    slot.count = ids.size() - slot.begin;
    slot.piece = piece;
  }

 private:
  static constexpr size_t kSlots = 1 << 15, kLongest_bytes = 64;
  struct Slot {
    std::string_view piece;
    size_t begin = 0, count = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace gw::inline text
