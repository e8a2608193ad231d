#include "gatewright/data/number_like.h"

#include <array>
#include <regex>
#include <string>
#include <utility>

namespace gw::inline data {
namespace {

struct Shape {
  std::regex pattern;
  std::string_view what;
};

/// Signs in front: - and + and U+2212, comparisons, currencies. Units behind: after a blank, or a sign of per
/// cent, per mille or degrees.
/// Groups of three digits are parted by one of , . ' _ blank, U+00A0, U+202F, U+2019.
const std::array<Shape, 4>& shapes() {
  static const std::array<Shape, 4> kShapes = [] {
    const std::string digits = "[0-9]+([.,][0-9]+)?([eE][-+]?[0-9]+)?", sign = "(\xE2\x88\x92|[-+])?";
    const std::string part = "([,.'_ ]|\xC2\xA0|\xE2\x80\xAF|\xE2\x80\x99)";
    const std::string grouped = "[0-9]{1,3}(" + part + "[0-9]{3})+([.,][0-9]+)?";
    const std::string front = "([<>~$]|<=|>=|\xE2\x82\xAC|\xC2\xA3|\xC2\xA5|\xE2\x89\xA4|\xE2\x89\xA5) ?";
    const std::string back =
        " ?(%|\xE2\x80\xB0|\xC2\xB0[CF]?|\xE2\x82\xAC|\\$)| [A-Za-z\xC2\xB5\xCE\xBC]+([/^.-]?[A-Za-z0-9]+)*";
    const std::string number = "(" + grouped + "|" + digits + ")";
    const auto make = [](const std::string& text) {
      return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
    };
    return std::array<Shape, 4>{
        Shape{make("[0-9]{1,4}([-/.])[0-9]{1,2}\\1[0-9]{1,4}([T ].*)?"), "a date"},
        Shape{make("[-+]?0[xX][0-9a-fA-F]+"), "a hexadecimal number"},
        Shape{make(sign + grouped), "a number with separated thousands"},
        Shape{make("(" + front + ")?" + sign + "(" + front + ")?" + number + "(" + back + ")?"),
              "a number with a unit or a sign beside it"}};
  }();
  return kShapes;
}

}  // namespace

std::string_view describe_number_like(std::string_view cell) {
  constexpr size_t kLongest = 40;  // such numbers are short; the patterns recurse with the length of the text
  if (cell.empty() || cell.size() > kLongest) return "";
  for (const auto& [pattern, what] : shapes()) {
    if (std::regex_match(cell.begin(), cell.end(), pattern)) return what;
  }
  return "";
}

}  // namespace gw::inline data
