#pragma once
// TOML as JSON. The text may come from anyone: whatever the bytes are, they are read or refused, in bounded
// time and memory.
#include <string>
#include <string_view>

#include "gatewright/base/options.h"

namespace gw::inline train {

/// Keys, tables and lists within each other, dots of a key included: `[a.b]` with `c.d = [1]` under it is
/// five deep.
inline constexpr int kTomlLevels = 64;

/// The document in `text`; `where` is what messages call it.
/// Errors: ValueError with line and column for malformed TOML and for what is nested deeper than kTomlLevels.
Json parse_toml(const std::string& text, const std::string& where);

/// Refuses what is nested deeper than kTomlLevels, before any parser builds a tree of it. Also right for
/// JSON, whose strings and brackets are written alike. Errors: ValueError with line and column. Cost: one
/// pass over the text, no memory that grows with it.
void refuse_deep(std::string_view text, const std::string& where);

}  // namespace gw::inline train
