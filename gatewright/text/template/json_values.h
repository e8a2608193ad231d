#pragma once
// JSON as values of a template.
#include <string_view>

#include "gatewright/base/json.h"
#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

/// Keys come sorted, as Json has them. Errors: ValueError for text that is not UTF-8 and for whole numbers
/// beyond 64 bits with a sign.
Value value_of(Meter& meter, const Json& json);
/// A JSON text, keys in its order; of a key that comes twice the last value holds. Errors: ValueError for
/// text that is no JSON.
Value value_of_text(Meter& meter, std::string_view json);

}  // namespace gw::inline text::jinja
