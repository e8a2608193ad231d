#pragma once
// Values as text: Python's str, repr and json.dumps.
#include <string>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

/// Appends str(value): what {{ … }} prints; nothing for what is undefined.
void print(Meter& meter, const Value& value, std::string& out);
std::string printed(Meter& meter, const Value& value);
/// Appends repr(value), as a list shows its elements.
void print_exact(Meter& meter, const Value& value, std::string& out);
/// repr(value), cut to a length for messages; never throws for what is too long.
std::string brief(Meter& meter, const Value& value);
/// repr of a float: the fewest digits that are read back equal, exponents from 1e16 on and below 1e-4.
std::string shown_real(double value);

/// json.dumps as transformers calls it: text stays as it is (`ascii`: \u escapes), keys in their order.
struct JsonLayout {
  bool ascii = false;
  bool lines = false;  ///< each element on a line of its own, `indent` before it
  std::string indent;  ///< per level
  std::string comma = ", ";
  std::string colon = ": ";
  bool sorted = false;
};
/// Appends JSON. Errors: ValueError for values that JSON has no form for.
void print_json(Meter& meter, const Value& value, const JsonLayout& layout, std::string& out);

}  // namespace gw::inline text::jinja
