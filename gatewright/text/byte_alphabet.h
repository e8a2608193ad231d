#pragma once
// GPT-2's alphabet: each of the 256 bytes as a printable character, so that vocabularies of bytes are text.
#include <string>
#include <string_view>

namespace gw::inline text {

/// Appends the characters of `bytes`.
void append_as_characters(std::string& out, std::string_view bytes);
inline std::string as_characters(std::string_view bytes) {
  std::string out;
  append_as_characters(out, bytes);
  return out;
}
/// The character of a byte, U+0021 to U+0143.
char32_t character_of(unsigned char byte);
/// The byte of a character, -1 for characters outside the alphabet.
int byte_of(char32_t character);
/// The bytes of `characters`; false, with `out` as it was, if one is outside the alphabet.
bool append_as_bytes(std::string& out, std::string_view characters);

}  // namespace gw::inline text
