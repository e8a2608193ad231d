#pragma once
// The functions that every template has.
#include <string>

#include "gatewright/text/template/methods.h"

namespace gw::inline text::jinja {

/// range, dict, namespace, raise_exception.
const std::vector<NamedFunction>& functions();
/// strftime_now, bound to a moment: "2026-01-31" or "2026-01-31 17:05:09". Errors: ValueError for what is no
/// date.
Value clock_at(const std::string& moment);

}  // namespace gw::inline text::jinja
