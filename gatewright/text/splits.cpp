#include "gatewright/text/splits.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"

namespace gw::inline text {
namespace {

struct Span {
  size_t begin, end;
  bool match;
};

/// The second of two neighbours goes to the first where `joins(before, match)`.
template <class Joins>
void join_where(std::vector<Span>& spans, Joins joins) {
  size_t kept = 0;
  bool before = false;
  for (const Span span : spans) {
    if (kept > 0 && joins(before, span.match)) {
      spans[kept - 1].begin = std::min(spans[kept - 1].begin, span.begin);
      spans[kept - 1].end = std::max(spans[kept - 1].end, span.end);
    } else {
      spans[kept++] = span;
    }
    before = span.match;
  }
  spans.resize(kept);
}

void join(std::vector<Span>& spans, SplitBehavior behavior) {
  const auto to_previous = [](bool before, bool match) { return match && !before; };
  if (behavior == SplitBehavior::kContiguous)
    return join_where(spans, [](bool before, bool match) { return before == match; });
  const bool next = behavior == SplitBehavior::kMergedWithNext;
  if (next) std::reverse(spans.begin(), spans.end());
  join_where(spans, to_previous);
  if (next) std::reverse(spans.begin(), spans.end());
}

}  // namespace

SplitBehavior split_behavior(const Field& field) {
  static const std::vector<std::string> kNames{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                               "Contiguous"};
  const auto at = std::find(kNames.begin(), kNames.end(), field.text());
  GW_CHECK(at != kNames.end(), "{}: expected a behaviour, got \"{}\"{}", field.place(),
           shown(field.text(), 60), near_miss(field.text(), kNames));
  return static_cast<SplitBehavior>(at - kNames.begin());
}

void split_pieces(CutText& text, const Finder& finder, SplitBehavior behavior, bool invert) {
  std::vector<CutText::Piece> pieces;
  pieces.reserve(text.pieces.size() + text.text.size() / 6);
  std::vector<Span> spans;
  CutText::Piece piece{};
  const auto keep = [&](const Span& span) {
    if (span.end > span.begin)
      pieces.push_back({piece.begin + span.begin, piece.begin + span.end, piece.first && span.begin == 0});
  };
  const bool joined = behavior != SplitBehavior::kIsolated && behavior != SplitBehavior::kRemoved;
  const auto add = [&](const Span& span) {
    if (joined)
      spans.push_back(span);
    else if (!span.match || behavior == SplitBehavior::kIsolated)
      keep(span);
  };
  size_t done = 0;
  const FoundMatch found = [&](size_t begin, size_t end) {
    if (begin > done) add({done, begin, invert});
    add({begin, end, !invert});
    done = end;
  };
  for (const auto& one : text.pieces) {
    piece = one;
    done = 0;
    spans.clear();
    finder(std::string_view(text.text).substr(piece.begin, piece.end - piece.begin), found);
    if (done < piece.end - piece.begin) add({done, piece.end - piece.begin, invert});
    if (joined) join(spans, behavior);
    for (const Span& span : spans) keep(span);
  }
  text.pieces = std::move(pieces);
}

}  // namespace gw::inline text
