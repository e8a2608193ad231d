#include "gatewright/base/fraction.h"

#include <charconv>
#include <cmath>
#include <string_view>

namespace gw::inline base {

bool parse_fraction(const std::string& text, double& value) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return false;
  const auto decimal = [](std::string_view part, double& out) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), out);
    return error == std::errc() && end == part.data() + part.size() && std::isfinite(out);
  };
  double above = 0, below = 0;
  if (!decimal(std::string_view(text).substr(0, slash), above) ||
      !decimal(std::string_view(text).substr(slash + 1), below))
    return false;
  if (below == 0) return false;
  value = above / below;
  return true;
}

}  // namespace gw::inline base
