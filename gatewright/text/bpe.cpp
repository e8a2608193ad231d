#include "gatewright/text/bpe.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <queue>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {

constexpr size_t kShort = 40;  // up to here a scan for the lowest rank is faster than a heap

using Symbols = std::vector<int32_t>;

/// Few symbols: the ranks of all neighbours lie in a row.
void merge_short(const MergeTable& merges, Symbols& symbols) {
  MergeTable::Merge next[kShort];
  size_t n = symbols.size();
  for (size_t i = 0; i + 1 < n; ++i) next[i] = merges.find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (next[i].rank < next[best].rank) best = i;
    if (next[best].rank == UINT32_MAX) break;
    symbols[best] = next[best].id;
    const size_t moved = n - best - 2;
    std::memmove(&symbols[best] + 1, &symbols[best] + 2, moved * sizeof(int32_t));
    std::memmove(next + best + 1, next + best + 2, (moved > 0 ? moved - 1 : 0) * sizeof *next);
    --n;
    if (best + 1 < n) next[best] = merges.find(symbols[best], symbols[best + 1]);
    if (best > 0) next[best - 1] = merges.find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(n);
}

/// Many symbols: a list of those that are left, and a heap of candidates; one whose symbols have changed is
/// stale.
class LongMerge {
 public:
  LongMerge(const MergeTable& merges, Symbols& symbols)
      : merges_(merges), symbols_(symbols), next_(symbols.size()), previous_(symbols.size()) {
    std::iota(next_.begin(), next_.end(), 1);
    std::iota(previous_.begin(), previous_.end(), -1);
    std::vector<Candidate> all;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto merge = merges.find(symbols[i], symbols[i + 1]);
      if (merge.rank != UINT32_MAX)
        all.push_back({merge.rank, static_cast<int32_t>(i), symbols[i], symbols[i + 1]});
    }
    heap_ = Heap(std::greater<>(), std::move(all));
  }

  void run() {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const auto left = static_cast<size_t>(top.position), right = static_cast<size_t>(next_[left]);
      if (right >= symbols_.size() || symbols_[left] != top.left || symbols_[right] != top.right) continue;
      symbols_[left] = merges_.find(top.left, top.right).id;
      symbols_[right] = kGone;
      next_[left] = next_[right];
      if (static_cast<size_t>(next_[left]) < symbols_.size())
        previous_[static_cast<size_t>(next_[left])] = top.position;
      if (previous_[left] >= 0) offer(previous_[left]);
      offer(top.position);
    }
    symbols_.erase(std::remove(symbols_.begin(), symbols_.end(), kGone), symbols_.end());
  }

 private:
  static constexpr int32_t kGone = -1;
  struct Candidate {
    uint32_t rank;
    int32_t position, left, right;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  using Heap = std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

  void offer(int32_t position) {
    const auto left = static_cast<size_t>(position), right = static_cast<size_t>(next_[left]);
    if (right >= symbols_.size()) return;
    const auto merge = merges_.find(symbols_[left], symbols_[right]);
    if (merge.rank != UINT32_MAX) heap_.push({merge.rank, position, symbols_[left], symbols_[right]});
  }

  const MergeTable& merges_;
  Symbols& symbols_;
  std::vector<int32_t> next_, previous_;
  Heap heap_;
};

}  // namespace

void MergeTable::reserve(size_t merges) {
  size_t size = slots_.size();
  while (size < 2 * merges) size *= 2;
  if (size == slots_.size()) return;
  std::vector<Slot> old(size);
  old.swap(slots_);
  mask_ = size - 1;
  used_ = 0;
  for (const Slot& slot : old)
    if (slot.key != kEmpty)
      put(static_cast<int32_t>(slot.key >> 32), static_cast<int32_t>(slot.key & UINT32_MAX), slot.merge);
}

void MergeTable::put(int32_t left, int32_t right, Merge merge) {
  if (2 * (used_ + 1) > slots_.size()) reserve(slots_.size());
  const uint64_t key = key_of(left, right);
  size_t slot = slot_of(key);
  while (slots_[slot].key != kEmpty && slots_[slot].key != key) slot = (slot + 1) & mask_;
  used_ += slots_[slot].key == kEmpty;
  slots_[slot] = {key, merge};
}

BpeModel::BpeModel(Vocabulary words, MergeTable merges, BpeOptions options)
    : TokenModel(std::move(words)), merges_(std::move(merges)), options_(std::move(options)) {
  if (!options_.unknown.empty()) {
    unknown_ = vocabulary().find(options_.unknown);
    GW_CHECK(unknown_ >= 0, "model.unk_token: expected a token of the vocabulary, got \"{}\"",
             shown(options_.unknown, 60));
  }
  bytes_ = options_.byte_fallback ? byte_tokens(vocabulary()) : std::vector<int32_t>(256, -1);
  for (size_t c = 0; c < common_.size(); ++c) {
    std::string character;
    append_utf8(character, static_cast<char32_t>(c));
    common_[c] = vocabulary().find(character);
  }
  find_neighbours();
}

void BpeModel::find_neighbours() {
  std::vector<bool> apart(static_cast<size_t>(vocabulary().end()), false);  // symbols that are no characters
  for (const int32_t id : bytes_)
    if (id >= 0) apart[static_cast<size_t>(id)] = true;
  if (unknown_ >= 0) apart[static_cast<size_t>(unknown_)] = true;
  separable_ = options_.prefix.empty() && options_.suffix.empty();
  merges_.each([&](int32_t left, int32_t right) {
    const std::string_view before = vocabulary().token(left), behind = vocabulary().token(right);
    separable_ = separable_ && !apart[static_cast<size_t>(left)] && !apart[static_cast<size_t>(right)] &&
                 !before.empty() && !behind.empty();
    if (!separable_) return;
    size_t last = before.size();
    previous_code_point(before, last);
    const int32_t a = vocabulary().find(before.substr(last)),
                  b = vocabulary().find(behind.substr(0, utf8_length(behind[0])));
    if (a >= 0 && b >= 0) neighbours_.put(a, b, {0, 0});
  });
}

/// A whole text may be one piece (SentencePiece's): it falls apart where no merge can go, mostly into words.
void BpeModel::merge_long(Symbols& symbols, std::vector<int32_t>& ids) const {
  Symbols part;
  for (size_t begin = 0; begin < symbols.size();) {
    size_t end = begin + 1;
    while (end < symbols.size() &&
           (!separable_ || neighbours_.find(symbols[end - 1], symbols[end]).rank != UINT32_MAX))
      ++end;
    part.assign(symbols.begin() + static_cast<ptrdiff_t>(begin),
                symbols.begin() + static_cast<ptrdiff_t>(end));
    if (part.size() > kShort)
      LongMerge(merges_, part).run();
    else if (part.size() > 1)
      merge_short(merges_, part);
    ids.insert(ids.end(), part.begin(), part.end());
    begin = end;
  }
}

int32_t BpeModel::id_of(std::string_view character, bool first, bool last) const {
  const std::string& prefix = first ? std::string() : options_.prefix;
  const std::string& suffix = last ? options_.suffix : std::string();
  if (prefix.empty() && suffix.empty()) {
    size_t at = 0;
    const char32_t value = next_code_point(character, at);
    return value < common_.size() ? common_[value] : vocabulary().find(character);
  }
  return vocabulary().find(prefix + std::string(character) + suffix);
}

void BpeModel::start_unknown(std::string_view character, Symbols& symbols, int64_t& pending) const {
  const bool in_bytes = options_.byte_fallback &&
                        std::all_of(character.begin(), character.end(),
                                    [&](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; });
  if (in_bytes) {  // what is pending stays so, as in the reference
    for (const char c : character) symbols.push_back(bytes_[static_cast<unsigned char>(c)]);
  } else if (unknown_ >= 0) {
    if (pending > 0 && !options_.fuse_unknown) symbols.push_back(unknown_);
    pending = 1;
  }
}

void BpeModel::start(std::string_view piece, Symbols& symbols) const {
  int64_t pending = 0;
  const bool affixes = !options_.prefix.empty() || !options_.suffix.empty();
  for (size_t at = 0; at < piece.size();) {
    const size_t from = at;
    const char32_t value = next_code_point(piece, at);
    const std::string_view character = piece.substr(from, at - from);
    const int32_t id = affixes                  ? id_of(character, from == 0, at >= piece.size())
                       : value < common_.size() ? common_[value]
                                                : vocabulary().find(character);
    if (id < 0) {
      start_unknown(character, symbols, pending);
      continue;
    }
    if (pending > 0) symbols.push_back(unknown_);
    pending = 0;
    symbols.push_back(id);
  }
  if (pending > 0) symbols.push_back(unknown_);
}

void BpeModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (options_.ignore_merges) {
    const int32_t whole = vocabulary().find(piece);
    if (whole >= 0) return ids.push_back(whole);
  }
  static thread_local Symbols symbols;
  symbols.clear();
  start(piece, symbols);
  if (symbols.size() > kShort) {
    merge_long(symbols, ids);
    if (symbols.capacity() > (1 << 20)) Symbols().swap(symbols);
    return;
  }
  if (symbols.size() > 1) merge_short(merges_, symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

MergeTable merges_by_rank(const Vocabulary& vocabulary, const std::vector<uint32_t>& rank,
                          const std::vector<bool>& usable) {
  MergeTable merges;
  for (int32_t id = 0; id < vocabulary.end(); ++id) {
    if (!vocabulary.has(id) || !usable[static_cast<size_t>(id)]) continue;
    const std::string_view token = vocabulary.token(id);
    GW_CHECK(token.size() <= kTokenTextLimit_bytes,
             "vocabulary: expected tokens of at most {} bytes, got {} for id {}", kTokenTextLimit_bytes,
             token.size(), id);
    for (size_t cut = token.empty() ? 0 : utf8_length(token[0]); cut < token.size();
         cut += utf8_length(token[cut])) {
      const int32_t left = vocabulary.find(token.substr(0, cut)), right = vocabulary.find(token.substr(cut));
      if (left >= 0 && right >= 0 && usable[static_cast<size_t>(left)] && usable[static_cast<size_t>(right)])
        merges.put(left, right, {rank[static_cast<size_t>(id)], id});
    }
  }
  return merges;
}

std::vector<uint32_t> ranks_by_score(const std::vector<double>& scores) {
  std::vector<double> steps = scores;
  std::sort(steps.begin(), steps.end(), std::greater<>());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  std::vector<uint32_t> ranks;
  for (const double score : scores)
    ranks.push_back(static_cast<uint32_t>(
        std::lower_bound(steps.begin(), steps.end(), score, std::greater<>()) - steps.begin()));
  return ranks;
}

}  // namespace gw::inline text
