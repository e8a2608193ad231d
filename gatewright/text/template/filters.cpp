#include "gatewright/text/template/filters.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"

namespace gw::inline text::jinja {

const std::vector<NamedFunction>& filters() {
  static const std::vector<NamedFunction> kAll = [] {
    std::vector<NamedFunction> all = text_filters();
    all.insert(all.end(), element_filters().begin(), element_filters().end());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return std::string_view(a.name) < std::string_view(b.name);
    });
    return all;
  }();
  return kAll;
}

Value filtered(Meter& meter, const std::string& name, const Value& value, const Arguments& arguments) {
  const Meter::Level level(meter);
  meter.step();
  const NamedFunction* filter = find_function(filters(), name);
  GW_CHECK(filter != nullptr, "expected a known filter, got \"{}\"{}", shown(name, 60),
           near_miss(name, names_of(filters())));
  return filter->function(meter, value, arguments);
}

}  // namespace gw::inline text::jinja
