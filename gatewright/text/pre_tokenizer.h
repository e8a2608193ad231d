#pragma once
// How a text is cut into pieces, which no token crosses.
#include <memory>
#include <string>
#include <vector>

#include "gatewright/text/field.h"

namespace gw::inline text {

/// A text and where it is cut; what lies between pieces is dropped.
struct CutText {
  struct Piece {
    size_t begin, end;
    bool first;  ///< begins where the whole text began
  };
  std::string text;
  std::vector<Piece> pieces;
};

/// Immutable: threads may share one.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void cut(CutText& text) const = 0;
};

using PreTokenizerPtr = std::shared_ptr<const PreTokenizer>;

/// The pre-tokenizer of a tokenizer.json: BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace,
/// Punctuation, Sequence, Split, Whitespace, WhitespaceSplit. Errors: ValueError with the place.
PreTokenizerPtr make_pre_tokenizer(const Field& field);

/// Cuts with one regular expression after another, matches and what is between them being pieces, and writes
/// the pieces in the alphabet of bytes.
PreTokenizerPtr make_byte_level_splits(const std::vector<std::string>& patterns, const std::string& place);
/// GPT-2's pattern.
extern const char* const kGpt2Pattern;

}  // namespace gw::inline text
