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

/// Joins spans as `behavior` says; the second of two neighbours is joined to the first where `joins(before,
/// span)`.
template <class Joins>
void join(std::vector<Span>& spans, Joins joins) {
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

void behave(std::vector<Span>& spans, SplitBehavior behavior) {
  const auto to_previous = [](bool before, bool match) { return match && !before; };
  switch (behavior) {
    case SplitBehavior::kRemoved:
      spans.erase(std::remove_if(spans.begin(), spans.end(), [](const Span& span) { return span.match; }),
                  spans.end());
      break;
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kContiguous:
      join(spans, [](bool before, bool match) { return before == match; });
      break;
    case SplitBehavior::kMergedWithPrevious:
      join(spans, to_previous);
      break;
    case SplitBehavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      join(spans, to_previous);
      std::reverse(spans.begin(), spans.end());
      break;
  }
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
  for (const auto& piece : text.pieces) {
    const std::string_view whole = std::string_view(text.text).substr(piece.begin, piece.end - piece.begin);
    spans.clear();
    size_t done = 0;
    finder(whole, [&](size_t begin, size_t end) {
      if (begin > done) spans.push_back({done, begin, invert});
      spans.push_back({begin, end, !invert});
      done = end;
    });
    if (done < whole.size()) spans.push_back({done, whole.size(), invert});
    behave(spans, behavior);
    for (const Span& span : spans)
      if (span.end > span.begin)
        pieces.push_back({piece.begin + span.begin, piece.begin + span.end, piece.first && span.begin == 0});
  }
  text.pieces = std::move(pieces);
}

}  // namespace gw::inline text
