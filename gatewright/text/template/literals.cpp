#include "gatewright/text/template/literals.h"

#include <algorithm>
#include <charconv>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/lexer.h"
#include "gatewright/text/template/numbers.h"

namespace gw::inline text::jinja {
namespace {

bool is_digit_of(int base, char one) {
  const char lower = static_cast<char>(one | 0x20);
  const int value = one >= '0' && one <= '9'       ? one - '0'
                    : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                   : 99;
  return value < base;
}

/// Digits with single underscores between them, from `at` on.
size_t digits_end(std::string_view text, size_t at, int base) {
  while (at < text.size()) {
    const bool skips = text[at] == '_' && at + 1 < text.size() && is_digit_of(base, text[at + 1]);
    if (!is_digit_of(base, text[at]) && !skips) break;
    at += skips ? 2 : 1;
  }
  return at;
}

int base_of(std::string_view text) {
  if (text.size() < 3 || text[0] != '0') return 10;
  const char letter = static_cast<char>(text[1] | 0x20);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  return base != 10 && is_digit_of(base, text[2]) ? base : 10;
}

/// The code point of an escape of `count` hexadecimal digits at `at`.
char32_t hexadecimal(std::string_view text, size_t at, size_t count, int line) {
  uint32_t point = 0;
  const std::string_view digits = text.substr(std::min(at, text.size()), count);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), point, 16);
  GW_CHECK(digits.size() == count && error == std::errc() && end == digits.data() + count,
           "{}expected {} hexadecimal digits after a backslash, got fewer", at_line(line), count);
  return point;
}

/// Appends what the escape at `at` (behind the backslash) means, and returns where it ends.
size_t unescape(std::string_view text, size_t at, int line, std::string& out) {
  static constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
  const char letter = text[at];
  if (letter == '\n') return at + 1;
  if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
    out += kMeanings[known];
    return at + 1;
  }
  if (letter == 'x' || letter == 'u' || letter == 'U') {
    const size_t count = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
    append_utf8(out, hexadecimal(text, at + 1, count, line));
    return at + 1 + count;
  }
  GW_CHECK(letter != 'N', "{}expected escapes by number, got \\N; write \\u and 4 digits", at_line(line));
  if (letter >= '0' && letter <= '7') {
    char32_t point = 0;
    const size_t most = std::min(at + 3, text.size());
    for (; at < most && text[at] >= '0' && text[at] <= '7'; ++at)
      point = point * 8 + static_cast<char32_t>(text[at] - '0');
    append_utf8(out, point);
    return at;
  }
  out += '\\';
  return at;
}

}  // namespace

size_t number_size(std::string_view text, bool may_be_real) {
  if (const int base = base_of(text); base != 10) return digits_end(text, 2, base);
  const size_t whole = digits_end(text, 0, 10);
  size_t end = whole;
  if (may_be_real) {
    if (end + 1 < text.size() && text[end] == '.' && is_digit_of(10, text[end + 1]))
      end = digits_end(text, end + 1, 10);
    size_t exponent = end + 1;
    if (exponent < text.size() && (text[end] | 0x20) == 'e') {
      if (text[exponent] == '+' || text[exponent] == '-') ++exponent;
      if (exponent < text.size() && is_digit_of(10, text[exponent])) end = digits_end(text, exponent, 10);
    }
  }
  if (end > whole || text[0] != '0') return end;
  const size_t zeros = std::min(text.find_first_not_of("0_"), text.size());  // 07 is no number in Python
  return std::min(zeros, whole);
}

Value number_value(std::string digits, int line) {
  std::erase(digits, '_');
  const int base = base_of(digits);
  if (base == 10 && digits.find_first_of(".eE") != std::string::npos) return Value(decimal(digits));
  const char* const first = digits.data() + (base == 10 ? 0 : 2);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(first, digits.data() + digits.size(), value, base);
  GW_CHECK(error == std::errc(), "{}expected whole numbers of 64 bits, got a larger one", at_line(line));
  return Value(value);
}

std::string unescaped(std::string_view text, int line) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\\' && at + 1 < text.size())
      at = unescape(text, at + 1, line, out);
    else
      out += text[at++];
  }
  return out;
}

}  // namespace gw::inline text::jinja
