#include "gatewright/text/template/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"

namespace gw::inline text::jinja {
namespace {

/// Without blanks around it and without underscores between digits; nothing if these stand elsewhere.
std::optional<std::string> tidy(const std::string& text) {
  const std::string_view bare = stripped(text, nullptr, Side::both);
  std::string out;
  const auto is_digit = [&](size_t i) {
    return i < bare.size() && std::isxdigit(static_cast<unsigned char>(bare[i]));
  };
  for (size_t i = 0; i < bare.size(); ++i) {
    if (bare[i] != '_')
      out += bare[i];
    else if (i == 0 || !is_digit(i + 1) || (!is_digit(i - 1) && bare[i - 1] != 'x' && bare[i - 1] != 'o'))
      return std::nullopt;
  }
  return out;
}

Value round_whole(int64_t number, int64_t precision) {
  if (precision >= 0) return Value(number);
  if (precision < -18) return Value(int64_t{0});
  int64_t unit = 1;
  for (int64_t i = precision; i < 0; ++i) unit *= 10;
  const int64_t rest = ((number % unit) + unit) % unit;
  const int64_t below = number / unit - (number % unit < 0 ? 1 : 0);
  const bool up = rest > unit / 2 || (rest == unit / 2 && below % 2 != 0);
  int64_t result = 0;
  GW_CHECK(!__builtin_mul_overflow(below + (up ? 1 : 0), unit, &result),
           "round: expected whole numbers of 64 bits");
  return Value(result);
}

}  // namespace

std::optional<int64_t> read_whole(const std::string& text, int64_t base) {
  GW_CHECK(base == 0 || (base >= 2 && base <= 36), "int: expected a base from 2 to 36, got {}", base);
  auto digits = tidy(text);
  if (!digits || digits->empty()) return std::nullopt;
  const bool negative = digits->front() == '-';
  if (negative || digits->front() == '+') digits->erase(0, 1);
  const auto prefix = [&](char letter, int64_t of) {
    const bool there = digits->size() > 1 && (*digits)[0] == '0' && ((*digits)[1] | 0x20) == letter;
    if (!there || (base != 0 && base != of)) return;
    digits->erase(0, 2);
    base = of;
  };
  prefix('x', 16), prefix('o', 8), prefix('b', 2);
  if (base == 0) base = 10;
  if (digits->empty() || digits->front() == '-' || digits->front() == '+') return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits->data(), digits->data() + digits->size(), value, static_cast<int>(base));
  if (end != digits->data() + digits->size()) return std::nullopt;
  const uint64_t limit = static_cast<uint64_t>(INT64_MAX) + (negative ? 1 : 0);
  GW_CHECK(error == std::errc() && value <= limit,
           "int: expected whole numbers of 64 bits, got a larger one");
  return static_cast<int64_t>(negative ? 0 - value : value);
}

double decimal(const std::string& digits) {
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc::result_out_of_range) return value;
  const size_t e = digits.find_first_of("eE");
  const bool small = e != std::string::npos ? digits.find('-', e) != std::string::npos
                                            : digits.find_first_not_of("-0.") > 300;
  const double size = small ? 0 : std::numeric_limits<double>::infinity();
  return digits.front() == '-' ? -size : size;
}

std::optional<double> read_real(const std::string& text) {
  const auto digits = tidy(text);
  if (!digits) return std::nullopt;
  std::string_view rest = *digits;
  if (rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty() || (rest.size() < digits->size() && rest[0] == '-')) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size() || rest.find('(') != std::string_view::npos) return std::nullopt;
  if (error == std::errc::result_out_of_range) return decimal(std::string(rest));
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

Value round_half_even(const Value& number, int64_t precision) {
  if (number.is_whole()) return round_whole(number.whole(), precision);
  const double value = number.real();
  if (!std::isfinite(value) || precision > 300) return number;
  if (precision < -308) return Value(std::copysign(0.0, value));
  if (precision >= 0) {  // the decimal digits of the number itself decide, as in Python
    return Value(decimal(fmt::format("{:.{}f}", value, static_cast<int>(precision))));
  }
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return Value(std::nearbyint(value / unit) * unit);
}

}  // namespace gw::inline text::jinja
