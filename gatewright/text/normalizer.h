#pragma once
// What is done to a text before it is cut.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/text/charsmap.h"
#include "gatewright/text/field.h"

namespace gw::inline text {

/// Immutable: threads may share one.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Changes `text`, UTF-8. `begins` says whether it begins the whole text or follows a special token.
  /// Errors: ValueError where a replacement would make the text longer than normal_limit().
  virtual void apply(std::string& text, bool begins) const = 0;
};

using NormalizerPtr = std::shared_ptr<const Normalizer>;

/// The normaliser of a tokenizer.json: BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled,
/// Prepend, Replace, Sequence, Strip, StripAccents, ByteLevel. Errors: ValueError with the place.
NormalizerPtr make_normalizer(const Field& field);

/// Bytes that a text of `size` may become: a file cannot make memory out of small texts.
inline size_t normal_limit(size_t size) { return 64 * size + (64 << 10); }

struct SentencePieceText {
  std::shared_ptr<const Charsmap> charsmap;  ///< may be null
  bool dummy_prefix = true;                  ///< a space before the text
  bool remove_extra_whitespaces = true;      ///< none at the ends, one in a row
  bool escape_whitespaces = true;            ///< a space becomes U+2581
};
/// As SentencePiece's own normaliser.
NormalizerPtr make_sentence_piece_normalizer(SentencePieceText options);

}  // namespace gw::inline text
