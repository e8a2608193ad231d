#include "gatewright/text/template/arguments.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/operators.h"

namespace gw::inline text::jinja {

const Value* Arguments::find(const std::string& name) const {
  const auto found =
      std::find_if(named.begin(), named.end(), [&](const auto& one) { return one.first == name; });
  return found == named.end() ? nullptr : &found->second;
}

Parameters::Parameters(const Arguments& arguments, const char* function,
                       std::initializer_list<const char*> names, size_t required)
    : function_(function), names_(names), values_(names.size(), nullptr) {
  GW_CHECK(arguments.positional.size() <= names_.size(), "{}: expected at most {} arguments, got {}",
           function, names_.size(), arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    GW_CHECK(found != names_.end(), "{}: expected a known argument, got \"{}\"{}", function, shown(name, 60),
             near_miss(name, {names_.begin(), names_.end()}));
    const Value*& place = values_[static_cast<size_t>(found - names_.begin())];
    GW_CHECK(place == nullptr, "{}: expected the argument \"{}\" once, got it twice", function, name);
    place = &value;
  }
  for (size_t i = 0; i < required; ++i)
    GW_CHECK(has(i), "{}: expected the argument \"{}\", got none", function, names_[i]);
}

const Value& Parameters::operator[](size_t i) const {
  static const Value nothing;
  return has(i) ? *values_[i] : nothing;
}

const std::string& Parameters::text(size_t i) const {
  GW_CHECK((*this)[i].is_text(), "{}: expected a text for \"{}\", got a {}", function_, names_[i],
           type_name((*this)[i]));
  return values_[i]->text();
}

int64_t Parameters::whole(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  GW_CHECK(values_[i]->is_whole(), "{}: expected a whole number for \"{}\", got a {}", function_, names_[i],
           type_name(*values_[i]));
  return values_[i]->whole();
}

bool Parameters::truth(size_t i, bool otherwise) const {
  return has(i) ? jinja::truth(*values_[i]) : otherwise;
}

}  // namespace gw::inline text::jinja
