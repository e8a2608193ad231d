#pragma once
// Jinja's tests: what follows `is`.
#include "gatewright/text/template/methods.h"

namespace gw::inline text::jinja {

/// Whether `value` passes the test `name` (a function of this table gives a truth value). Errors: ValueError
/// for an unknown one, with the near miss.
bool passes(Meter& meter, const std::string& name, const Value& value, const Arguments& arguments);

}  // namespace gw::inline text::jinja
