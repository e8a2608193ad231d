#pragma once
// WordPiece as BERT uses it (Devlin et al. 2019): the longest known beginning, again and again.
#include <string>

#include "gatewright/text/byte_trie.h"
#include "gatewright/text/model.h"

namespace gw::inline text {

struct WordPieceOptions {
  std::string unknown = "[UNK]";
  std::string prefix = "##";  ///< of tokens inside a word
  int64_t longest = 100;      ///< words of more characters are unknown
};

/// A word with a part that no token covers is one unknown token. n bytes cost O(n) times the longest token.
class WordPieceModel : public TokenModel {
 public:
  /// Errors: ValueError for an unknown token that the vocabulary lacks.
  WordPieceModel(Vocabulary vocabulary, WordPieceOptions options);
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  ByteTrie trie_;
  WordPieceOptions options_;
  int32_t unknown_;
  uint32_t inside_ = ByteTrie::kRoot;  ///< where the trie's tokens with the prefix begin
};

}  // namespace gw::inline text
