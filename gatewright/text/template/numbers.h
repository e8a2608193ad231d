#pragma once
// Numbers from text, and rounding, as Python has them.
#include <cstdint>
#include <optional>
#include <string>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

/// int(text, base): blanks around it, a sign, single underscores between digits. Nothing if it is no number
/// of 64 bits.
std::optional<int64_t> read_whole(const std::string& text, int64_t base);
/// A decimal number as C++ writes it, whatever the locale; infinite or 0 where it is too large or too small.
double decimal(const std::string& digits);
/// float(text), "inf" and "nan" included.
std::optional<double> read_real(const std::string& text);
/// round(number, precision), which Jinja calls with a precision always: whole numbers stay whole, ties go to
/// the even one.
Value round_half_even(const Value& number, int64_t precision);

}  // namespace gw::inline text::jinja
