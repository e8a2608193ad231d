#pragma once
// Numbers and texts as they stand in a template.
#include <string>
#include <string_view>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

/// How many bytes of `text`, which begins with a digit, are one number.
size_t number_size(std::string_view text, bool may_be_real);
/// Errors: ValueError for whole numbers beyond 64 bits.
Value number_value(std::string digits, int line);
/// A text between quotes without them: escapes as in Python. Errors: ValueError for broken ones and for
/// \N{…}.
std::string unescaped(std::string_view text, int line);

}  // namespace gw::inline text::jinja
