#include "gatewright/text/byte_alphabet.h"

#include <array>

#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {

constexpr size_t kCharacters = 256 + 68;  // 68 bytes are not printable as they are

struct Alphabet {
  std::array<char32_t, 256> character;
  std::array<int, kCharacters> byte;

  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (char32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = printable ? b : next++;
      byte[character[b]] = static_cast<int>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

}  // namespace

char32_t character_of(unsigned char byte) { return alphabet().character[byte]; }

int byte_of(char32_t character) { return character < kCharacters ? alphabet().byte[character] : -1; }

void append_as_characters(std::string& out, std::string_view bytes) {
  const auto& character = alphabet().character;
  for (const char c : bytes) {
    const char32_t value = character[static_cast<unsigned char>(c)];
    if (value < 0x80) {
      out.push_back(static_cast<char>(value));
    } else {  // all are below U+0800
      out.push_back(static_cast<char>(0xC0 | value >> 6));
      out.push_back(static_cast<char>(0x80 | (value & 0x3F)));
    }
  }
}

bool append_as_bytes(std::string& out, std::string_view characters) {
  const size_t before = out.size();
  for (size_t at = 0; at < characters.size();) {
    const int byte = byte_of(next_code_point(characters, at));
    if (byte < 0) return out.resize(before), false;
    out.push_back(static_cast<char>(byte));
  }
  return true;
}

}  // namespace gw::inline text
