#include "gatewright/base/crc32c.h"

#include <array>
#include <cstring>

namespace gw::inline base {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

// Table k tells what a byte does that stands k places before the end of the eight.
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82F63B78u : 0u);
    tables[0][i] = c;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (size_t i = 0; i < 256; ++i)
      tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xFF];
  }
  return tables;
}

constexpr Tables kTables = make_tables();

uint32_t byte_of(uint64_t word, int i) { return static_cast<uint32_t>(word >> (8 * i)) & 0xFF; }

}  // namespace

uint32_t crc32c(std::string_view bytes, uint32_t before) {
  uint32_t c = ~before;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word = 0;
    for (int i = 7; i >= 0; --i)
      word = word << 8 | at[i];  // one load on a little-endian machine, right on every other
    word ^= c;
    c = 0;
    for (int i = 0; i < 8; ++i) c ^= kTables[static_cast<size_t>(7 - i)][byte_of(word, i)];
  }
  for (; left > 0; --left) c = kTables[0][(c ^ *at++) & 0xFF] ^ (c >> 8);
  return ~c;
}

}  // namespace gw::inline base
