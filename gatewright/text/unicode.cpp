#include "gatewright/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "gatewright/base/check.h"

namespace gw::inline text {
namespace {

utf8proc_category_t category(char32_t value) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(value));
}

bool between(char32_t value, char32_t low, char32_t high) { return value >= low && value <= high; }

/// Bytes of the longest part at `at` that is, or could have become, a code point; `whole` says which.
size_t part_at(std::string_view bytes, size_t at, bool& whole) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = byte(at);
  whole = first < 0x80;
  if (whole || first < 0xC2 || first > 0xF4) return 1;
  const size_t length = utf8_length(bytes[at]);
  size_t i = 1;
  for (; i < length && at + i < bytes.size(); ++i) {
    unsigned char low = 0x80, high = 0xBF;
    if (i == 1 && first == 0xE0) low = 0xA0;
    if (i == 1 && first == 0xED) high = 0x9F;
    if (i == 1 && first == 0xF0) low = 0x90;
    if (i == 1 && first == 0xF4) high = 0x8F;
    if (byte(at + i) < low || byte(at + i) > high) return i;
  }
  whole = i == length;
  return i;
}

}  // namespace

char32_t previous_code_point(std::string_view text, size_t& end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  size_t at = end;
  return next_code_point(text, at);
}

void append_utf8(std::string& out, char32_t value) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

size_t code_points(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

bool is_space(char32_t value) {
  if (value < 0x80) return value == ' ' || between(value, '\t', '\r');
  return value == 0x85 || value == 0xA0 || value == 0x1680 || between(value, 0x2000, 0x200A) ||
         value == 0x2028 || value == 0x2029 || value == 0x202F || value == 0x205F || value == 0x3000;
}

bool is_numeric(char32_t value) {
  if (value < 0x80) return between(value, '0', '9');
  const auto kind = category(value);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t value) {
  if (value < 0x80)
    return between(value, '!', '/') || between(value, ':', '@') || between(value, '[', '`') ||
           between(value, '{', '~');
  const auto kind = category(value);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t value) {
  const auto kind = category(value);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(char32_t value) { return category(value) == UTF8PROC_CATEGORY_MN; }

bool is_word(char32_t value) {
  if (value < 0x80)
    return between(value, 'a', 'z') || between(value, 'A', 'Z') || between(value, '0', '9') || value == '_';
  const auto kind = category(value);
  if (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) return true;  // L, M, Nd and Nl
  if (kind == UTF8PROC_CATEGORY_PC || value == 0x200C || value == 0x200D) return true;
  // Symbols that are Alphabetic: letters in circles and squares.
  return between(value, 0x24B6, 0x24E9) || between(value, 0x1F130, 0x1F149) ||
         between(value, 0x1F150, 0x1F169) || between(value, 0x1F170, 0x1F189);
}

bool is_control(char32_t value) {
  const auto kind = category(value);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_CO;
}

bool is_chinese(char32_t value) {
  return between(value, 0x4E00, 0x9FFF) || between(value, 0x3400, 0x4DBF) ||
         between(value, 0x20000, 0x2A6DF) || between(value, 0x2A700, 0x2B73F) ||
         between(value, 0x2B740, 0x2B81F) || between(value, 0x2B920, 0x2CEAF) ||
         between(value, 0xF900, 0xFAFF) || between(value, 0x2F800, 0x2FA1F);
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t value = next_code_point(text, at);
    if (value < 0x80)
      out.push_back(static_cast<char>(between(value, 'A', 'Z') ? value + 32 : value));
    else if (value == 0x130)  // the only code point whose full mapping is longer than one
      out += "i\xCC\x87";
    else
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(value))));
  }
  return out;
}

std::string normal_form(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::kNfc || form == NormalForm::kNfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* made = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &made,
                                 static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(made, &std::free);
  GW_CHECK(size >= 0, "normal form: expected UTF-8, got {} bytes that are not ({})", text.size(),
           utf8proc_errmsg(size));
  return std::string(reinterpret_cast<const char*>(made), static_cast<size_t>(size));
}

size_t grapheme_end(std::string_view text, size_t at) {
  utf8proc_int32_t state = 0;
  char32_t before = next_code_point(text, at);
  while (at < text.size()) {
    size_t next = at;
    const char32_t value = next_code_point(text, next);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before),
                                         static_cast<utf8proc_int32_t>(value), &state))
      break;
    before = value;
    at = next;
  }
  return at;
}

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    bool whole = false;
    const size_t size = part_at(bytes, at, whole);
    out += whole ? bytes.substr(at, size) : std::string_view("\xEF\xBF\xBD");
    at += size;
  }
  return out;
}

size_t unfinished_utf8(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const size_t at = bytes.size() - back;
    if ((static_cast<unsigned char>(bytes[at]) & 0xC0) == 0x80) continue;
    bool whole = false;
    const size_t size = part_at(bytes, at, whole);
    const auto first = static_cast<unsigned char>(bytes[at]);
    return !whole && size == back && first >= 0xC2 && first <= 0xF4 ? back : 0;
  }
  return 0;
}

}  // namespace gw::inline text
