#pragma once
// Byte-pair encoding (Sennrich, Haddow and Birch 2016), over characters or over bytes.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "gatewright/text/model.h"

namespace gw::inline text {

/// Which pairs of tokens become which token, and in which order.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = UINT32_MAX;
    int32_t id = -1;
  };

  void reserve(size_t merges);
  /// A pair that is there already gets the new merge.
  void put(int32_t left, int32_t right, Merge merge);
  /// Calls `visit(left, right)` for every pair.
  template <class Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_)
      if (slot.key != kEmpty)
        visit(static_cast<int32_t>(slot.key >> 32), static_cast<int32_t>(slot.key & UINT32_MAX));
  }
  /// Rank UINT32_MAX if the pair does not merge.
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].key == kEmpty) return {};
    }
  }

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const { return (key * 0x9E3779B97F4A7C15ull >> 24) & mask_; }

  std::vector<Slot> slots_ = std::vector<Slot>(64);
  size_t mask_ = 63, used_ = 0;
};

struct BpeOptions {
  std::string unknown;         ///< token for characters that the vocabulary lacks; empty: they vanish
  std::string prefix, suffix;  ///< of characters inside a word, of the last character
  bool fuse_unknown = false;   ///< neighbours among the unknown become one token
  bool byte_fallback = false;  ///< unknown characters become tokens "<0x..>" where all of these are there
  bool ignore_merges = false;  ///< a piece that is a token is that token, whatever the merges say
};

/// Merges the pair of lowest rank, the leftmost of equals, until none is left. n characters cost O(n log n).
class BpeModel : public TokenModel {
 public:
  /// Errors: ValueError for an unknown token that the vocabulary lacks.
  BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options);
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  void start(std::string_view piece, std::vector<int32_t>& symbols) const;
  void start_unknown(std::string_view character, std::vector<int32_t>& symbols, int64_t& pending) const;
  int32_t id_of(std::string_view character, bool first, bool last) const;
  void find_neighbours();
  void merge_long(std::vector<int32_t>& symbols, std::vector<int32_t>& ids) const;

  MergeTable merges_;
  MergeTable
      neighbours_;  ///< characters that stand beside each other in some token: between others no merge goes
  bool separable_ = false;  ///< whether neighbours_ holds
  BpeOptions options_;
  int32_t unknown_ = -1;
  std::vector<int32_t> bytes_;
  std::array<int32_t, 0x400> common_;  ///< ids of characters below U+0400, which byte-level text is made of
};

/// Merges of vocabularies that name none: two tokens merge where together they are a token, in the order of
/// `rank` (by token; equal ranks go from left to right). `usable` says which tokens take part.
MergeTable merges_by_rank(const Vocabulary& vocabulary, const std::vector<uint32_t>& rank,
                          const std::vector<bool>& usable);
/// Ranks for merges_by_rank: the highest score first.
std::vector<uint32_t> ranks_by_score(const std::vector<double>& scores);

}  // namespace gw::inline text
