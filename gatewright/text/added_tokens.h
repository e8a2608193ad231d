#pragma once
// Tokens that are found in a text before the model sees it: special ones and those that users added.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/text/byte_trie.h"
#include "gatewright/text/normalizer.h"

namespace gw::inline text {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;      ///< left out when decoding, unless asked for
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool single_word = false;  ///< has no word character beside it
  bool normalized = false;   ///< is looked for, normalised itself, in the normalised text
};

/// Immutable: threads may share one.
class AddedTokens {
 public:
  struct Section {
    size_t begin, end;
    int32_t id;  ///< of the token, -1 for text between tokens
  };

  AddedTokens() = default;
  /// `normalizer` may be null. Of two tokens with one id the later counts. Errors: ValueError for a token
  /// above 4 KiB.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer);

  /// The sections of `text` (not empty ones), the longest token first where several begin; of those that are
  /// normalised, or of the others. Without `special` special tokens are text.
  std::vector<Section> sections(std::string_view text, bool normalized, bool special) const;
  /// Null if `id` is not an added token.
  const AddedToken* find(int32_t id) const;
  int32_t find(std::string_view content) const;
  /// What decoders get: the normalised form of normalised tokens that are not special.
  const std::string& decoded(const AddedToken& token) const;
  const std::map<int32_t, AddedToken>& all() const { return tokens_; }

 private:
  /// Where the token that begins at `begin` and ends at `end` counts with its spaces; false if it does not.
  static bool widen(const AddedToken& token, std::string_view text, size_t from, size_t& begin, size_t& end);

  std::map<int32_t, AddedToken> tokens_;
  std::map<std::string, int32_t, std::less<>> ids_;
  std::map<int32_t, std::string> normal_forms_;
  ByteTrie raw_, normal_;
};

}  // namespace gw::inline text
