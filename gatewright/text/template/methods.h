#pragma once
// The methods that values have: Python's, as far as chat templates call them.
#include <optional>
#include <string>
#include <vector>

#include "gatewright/text/template/arguments.h"

namespace gw::inline text::jinja {

/// The method `name` bound to `value`, or nothing if values of this type have none of that name.
std::optional<Value> method_of(const Value& value, const std::string& name);
std::vector<std::string> method_names(const Value& value);

struct NamedFunction {
  const char* name;
  Function function;
};
/// Of texts; sorted by name, as all tables of functions.
const std::vector<NamedFunction>& text_methods();
const NamedFunction* find_function(const std::vector<NamedFunction>& functions, const std::string& name);
std::vector<std::string> names_of(const std::vector<NamedFunction>& functions);

}  // namespace gw::inline text::jinja
