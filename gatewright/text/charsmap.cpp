#include "gatewright/text/charsmap.h"

#include "gatewright/base/bytes.h"
#include "gatewright/base/check.h"

namespace gw::inline text {
namespace {

// A unit of the double array (Darts-clone): value, label and the way to its children.
uint32_t unit_offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }
uint32_t unit_label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }
bool unit_has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& place) {
  GW_CHECK(bytes.size() > 4, "{}: expected a table of characters, got {} bytes", place, bytes.size());
  ByteReader reader(bytes, place.c_str());
  const uint32_t size = reader.u32();
  GW_CHECK(size % 4 == 0 && size >= 4 && size <= reader.left(),
           "{}: expected a double array of at most {} bytes, got {}", place, reader.left(), size);
  units_.reserve(size / 4);
  for (uint32_t i = 0; i < size / 4; ++i) units_.push_back(reader.u32());
  texts_ = std::string(bytes.substr(4 + size));
  GW_CHECK(texts_.empty() || texts_.back() == '\0', "{}: expected texts that end with a zero byte, got none",
           place);
}

std::optional<Charsmap::Match> Charsmap::match(std::string_view text, bool first) const {
  std::optional<Match> found;
  uint64_t at = unit_offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || unit_label(units_[at]) != byte) break;
    const uint32_t unit = units_[at];
    at ^= unit_offset(unit);
    if (!unit_has_leaf(unit)) continue;
    if (at >= units_.size()) break;
    const uint32_t begin = units_[at] & 0x7FFFFFFF;
    if (begin >= texts_.size()) break;
    found = Match{i + 1, std::string_view(texts_.c_str() + begin)};
    if (first) break;
  }
  return found;
}

}  // namespace gw::inline text
