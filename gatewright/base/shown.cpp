#include "gatewright/base/shown.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace gw::inline base {
namespace {

/// The bytes of the code point at the beginning of `text`, which is not empty, and its value; 0 bytes if they
/// are not UTF-8.
size_t decode(std::string_view text, uint32_t& value) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return value = lead, 1;
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return 0;
  value = lead & (0x7FU >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3FU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  return value < kLeast[size] || value > 0x10FFFF || surrogate ? 0 : size;
}

/// Code points that a terminal obeys instead of printing, or that reorder what stands around them.
bool is_command(uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0), separator = c == 0x2028 || c == 0x2029;
  const bool direction = c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
                         (c >= 0x2066 && c <= 0x2069);
  return control || separator || direction;
}

}  // namespace

std::string shown(std::string_view text, size_t most_bytes) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    uint32_t value = 0;
    const size_t size = decode(text.substr(at), value), taken = size == 0 ? 1 : size;
    if (most_bytes > 0 && at + taken > most_bytes) return out + "…";
    if (size > 0 && !is_command(value)) {
      out += text.substr(at, size);
    } else {
      for (size_t i = 0; i < taken; ++i)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at + i]));
    }
    at += taken;
  }
  return out;
}

std::string shell_word(std::string_view text) {
  const std::string word = (!text.empty() && text.front() == '-' ? "./" : "") + std::string(text);
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  const bool printable = shown(word) == word;
  std::string out = printable ? "'" : "$'";
  for (size_t at = 0; at < word.size();) {
    uint32_t value = 0;
    const size_t size = decode(std::string_view(word).substr(at), value), taken = size == 0 ? 1 : size;
    if (size == 0 || is_command(value)) {
      for (size_t i = 0; i < taken; ++i)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(word[at + i]));
    } else if (value == '\'') {
      out += printable ? "'\\''" : "\\'";
    } else {
      out += (value == '\\' && !printable ? "\\" : "") + word.substr(at, size);
    }
    at += taken;
  }
  return out + "'";
}

size_t invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    uint32_t value = 0;
    const size_t size = decode(text.substr(at), value);
    if (size == 0) return at;
    at += size;
  }
  return std::string_view::npos;
}

std::string words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

}  // namespace gw::inline base
