#pragma once
#include <string>
#include <string_view>

#include "gatewright/base/json.h"

namespace gw::inline base {

inline constexpr int kJsonLevels = 64;  ///< writing a document out again is recursive

/// The JSON document in `text`; `where` is what messages call it. A key that an object has twice is refused:
/// which of the two would hold is the reader's whim.
/// Errors: ValueError "<where>:<line>:<column>: expected …, got …" for text that is no JSON (NaN and Infinity
///         are none), that is nested deeper than kJsonLevels, or that has a key twice.
Json parse_json(std::string_view text, const std::string& where);
/// The document in a file of at most 256 MiB. Errors: IoError if it cannot be read; ValueError as parse_json,
/// naming the file.
Json read_json(const std::string& path);

}  // namespace gw::inline base
