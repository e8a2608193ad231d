#pragma once
// Jinja's filters: what follows |.
#include "gatewright/text/template/methods.h"

namespace gw::inline text::jinja {

/// All filters, sorted by name.
const std::vector<NamedFunction>& filters();
/// Those of texts and numbers, and those of what has elements.
const std::vector<NamedFunction>& text_filters();
const std::vector<NamedFunction>& element_filters();
/// `value` through the filter `name`. Errors: ValueError for an unknown one, with the near miss.
Value filtered(Meter& meter, const std::string& name, const Value& value, const Arguments& arguments);

}  // namespace gw::inline text::jinja
