#pragma once
// Cutting pieces at matches.
#include <functional>
#include <string_view>
#include <vector>

#include "gatewright/text/pre_tokenizer.h"

namespace gw::inline text {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
/// Errors: ValueError for a name that is none.
SplitBehavior split_behavior(const Field& field);

/// Calls back for the matches in a piece, from left to right.
using FoundMatch = std::function<void(size_t begin, size_t end)>;
using Finder = std::function<void(std::string_view piece, const FoundMatch& found)>;

/// Cuts every piece at what `finder` finds in it; with `invert` at what it does not find.
void split_pieces(CutText& text, const Finder& finder, SplitBehavior behavior, bool invert = false);

}  // namespace gw::inline text
