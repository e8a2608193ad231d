#include "gatewright/text/vocabulary.h"

#include <functional>
#include <utility>

#include "gatewright/base/check.h"

namespace gw::inline text {

void Vocabulary::reserve(size_t tokens) {
  tokens_.reserve(tokens);
  while (slots_.size() < 2 * tokens) grow();
}

void Vocabulary::place(int32_t id) {
  const std::string& token = tokens_[static_cast<size_t>(id)];
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>()(token) & mask;
  while (slots_[slot] >= 0 && tokens_[static_cast<size_t>(slots_[slot])] != token) slot = (slot + 1) & mask;
  slots_[slot] = id;
}

void Vocabulary::grow() {
  slots_.assign(slots_.empty() ? 64 : 2 * slots_.size(), -1);
  for (size_t id = 0; id < tokens_.size(); ++id)
    if (taken_[id]) place(static_cast<int32_t>(id));
}

bool Vocabulary::add(std::string token, int64_t id) {
  GW_CHECK(id >= 0 && id < kTokenLimit, "vocabulary: expected ids from 0 to {}, got {}", kTokenLimit - 1, id);
  const auto at = static_cast<size_t>(id);
  if (at >= tokens_.size()) tokens_.resize(at + 1), taken_.resize(at + 1, false);
  if (taken_[at]) return false;
  tokens_[at] = std::move(token);
  taken_[at] = true;
  ++count_;
  if (2 * count_ > slots_.size())
    grow();
  else
    place(static_cast<int32_t>(id));
  return true;
}

int32_t Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return -1;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = std::hash<std::string_view>()(token) & mask; slots_[slot] >= 0; slot = (slot + 1) & mask)
    if (tokens_[static_cast<size_t>(slots_[slot])] == token) return slots_[slot];
  return -1;
}

}  // namespace gw::inline text
