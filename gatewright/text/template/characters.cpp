#include "gatewright/text/template/characters.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "gatewright/base/check.h"
#include "gatewright/text/template/character_tables.h"

namespace gw::inline text::jinja {
namespace {

size_t width_of(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

template <class Visit>
void for_each_character(std::string_view text, const Visit& visit) {
  for (size_t at = 0; at < text.size();) {
    const size_t width = std::min(width_of(text[at]), text.size() - at);
    visit(text.substr(at, width));
    at += width;
  }
}

template <class Run, size_t kCount>
const Run* run_of(const Run (&runs)[kCount], char32_t point) {
  const Run* after = std::upper_bound(std::begin(runs), std::end(runs), point,
                                      [](char32_t value, const Run& run) { return value < run.first; });
  return after != std::begin(runs) && point <= (after - 1)->last ? after - 1 : nullptr;
}

template <size_t kCount>
char32_t shifted(const CaseRun (&runs)[kCount], char32_t point) {
  const CaseRun* run = run_of(runs, point);
  if (run == nullptr || (point - run->first) % run->stride != 0) return point;
  return static_cast<char32_t>(static_cast<int32_t>(point) + run->shift);
}

void append_upper(std::string& out, std::string_view character) {
  const char32_t point = code_point(character);
  const auto* longer =
      std::lower_bound(std::begin(kLongerUpper), std::end(kLongerUpper), point,
                       [](const LongerUpper& one, char32_t value) { return one.point < value; });
  if (longer != std::end(kLongerUpper) && longer->point == point)
    out += longer->upper;
  else
    append_utf8(out, shifted(kUpperRuns, point));
}

void append_lower(std::string& out, std::string_view character) {
  const char32_t point = code_point(character);
  if (point == 0x130)  // the one lower case that is longer
    out += "i\xCC\x87";
  else
    append_utf8(out, shifted(kLowerRuns, point));
}

void append_title(std::string& out, std::string_view character) {
  std::string large;
  append_upper(large, character);
  const auto parts = characters(large);
  for (size_t i = 0; i < parts.size(); ++i)
    if (i == 0)
      out += parts[i];
    else
      append_lower(out, parts[i]);
}

}  // namespace

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for_each_character(text, [&](std::string_view one) { all.push_back(one); });
  return all;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

size_t byte_of(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) at += width_of(text[at]), --index;
  return std::min(at, text.size());
}

char32_t code_point(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(character[i])); };
  switch (character.size()) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
}

void append_utf8(std::string& text, char32_t point) {
  GW_CHECK(point < 0x110000 && (point < 0xD800 || point > 0xDFFF),
           "expected a character, got U+{:04X}, which is none", static_cast<uint32_t>(point));
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6), tail(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | point >> 12), tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | point >> 18), tail(12), tail(6), tail(0);
  }
}

bool is_space(char32_t point) {
  return (point >= 9 && point <= 13) || (point >= 28 && point <= 32) || point == 0x85 || point == 0xA0 ||
         point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
         point == 0x202F || point == 0x205F || point == 0x3000;
}

bool is_hidden(char32_t point) { return run_of(kHiddenRuns, point) != nullptr; }

bool is_cased(std::string_view character) {
  return upper(character) != character || lower(character) != character;
}

std::string upper(std::string_view text) {
  std::string out;
  for_each_character(text, [&](std::string_view one) { append_upper(out, one); });
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for_each_character(text, [&](std::string_view one) { append_lower(out, one); });
  return out;
}

std::string capitalized(std::string_view text) {
  std::string out;
  const size_t first = byte_of(text, 1);
  if (first > 0) append_title(out, text.substr(0, first));
  return out + lower(text.substr(first));
}

std::string titled(std::string_view text) {
  std::string out;
  bool inside = false;
  for_each_character(text, [&](std::string_view one) {
    if (inside)
      append_lower(out, one);
    else
      append_title(out, one);
    inside = is_cased(one);
  });
  return out;
}

std::string_view stripped(std::string_view text, const std::string* unwanted, Side side) {
  const auto is_unwanted = [&](std::string_view one) {
    return unwanted == nullptr ? is_space(code_point(one)) : unwanted->find(one) != std::string::npos;
  };
  while (side != Side::right && !text.empty()) {
    const size_t width = std::min(width_of(text.front()), text.size());
    if (!is_unwanted(text.substr(0, width))) break;
    text.remove_prefix(width);
  }
  while (side != Side::left && !text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
    if (!is_unwanted(text.substr(start))) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t width = std::min(width_of(text[at]), text.size() - at);
    const char32_t point = code_point(text.substr(at, width));
    const bool ends = (point >= 10 && point <= 13) || (point >= 28 && point <= 30) || point == 0x85 ||
                      point == 0x2028 || point == 0x2029;
    size_t next = at + width;
    if (ends) {
      lines.push_back(text.substr(start, at - start));
      if (point == '\r' && next < text.size() && text[next] == '\n') ++next;
      start = next;
    }
    at = next;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace gw::inline text::jinja
