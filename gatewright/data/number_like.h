#pragma once
#include <string_view>

namespace gw::inline data {

/// What a reader takes for a number although it is none: "a number with separated thousands", "a number with
/// a unit or a sign beside it", "a date", "a hexadecimal number"; empty for other text.
std::string_view describe_number_like(std::string_view cell);

}  // namespace gw::inline data
