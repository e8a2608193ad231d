#pragma once
#include <string>

namespace gw::inline base {

/// "8/255" as a number: two decimal numbers around one slash, the second not 0. False for anything else.
bool parse_fraction(const std::string& text, double& value);

}  // namespace gw::inline base
