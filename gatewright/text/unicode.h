#pragma once
// Code points, their classes and normal forms. Texts are UTF-8 that was checked before (base/shown.h).
#include <cstddef>
#include <string>
#include <string_view>

namespace gw::inline text {

/// Bytes of the code point that begins with `first`.
inline size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The code point at `at`, which moves behind it.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const size_t length = utf8_length(text[at]);
  char32_t value = static_cast<unsigned char>(text[at]);
  if (length > 1) value &= 0xFFu >> (length + 1);
  for (size_t i = 1; i < length && at + i < text.size(); ++i)
    value = value << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
  at += length;
  return value;
}

/// The code point that ends before `end`, which moves to its first byte.
char32_t previous_code_point(std::string_view text, size_t& end);
void append_utf8(std::string& out, char32_t value);
/// Number of code points.
size_t code_points(std::string_view text);
inline bool is_ascii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

bool is_space(char32_t value);            ///< White_Space
bool is_numeric(char32_t value);          ///< general category N
bool is_punctuation(char32_t value);      ///< ASCII punctuation and general category P
bool is_word(char32_t value);             ///< \w of UTS 18: Alphabetic, M, Nd, Pc, Join_Control
bool is_mark(char32_t value);             ///< general category M
bool is_nonspacing_mark(char32_t value);  ///< general category Mn
bool is_control(char32_t value);          ///< general categories Cc, Cf, Co
bool is_chinese(char32_t value);          ///< the blocks that BERT sets apart

/// Every code point by its own full mapping, without context: a final sigma is not told apart.
std::string lowercase(std::string_view text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string normal_form(std::string_view text, NormalForm form);

/// Where the extended grapheme cluster at `at` ends (UAX 29).
size_t grapheme_end(std::string_view text, size_t at);

/// `text` as UTF-8: every longest part that cannot become a code point is one U+FFFD.
std::string valid_utf8(std::string_view bytes);
/// How many bytes at the end of `bytes` begin a code point and do not finish it, 0 to 3.
size_t unfinished_utf8(std::string_view bytes);

}  // namespace gw::inline text
