#pragma once
// The most likely segmentation under a unigram language model (Kudo 2018).
#include <vector>

#include "gatewright/text/byte_trie.h"
#include "gatewright/text/model.h"

namespace gw::inline text {

struct UnigramOptions {
  int64_t unknown = -1;        ///< id for characters that no token covers; -1: they are an error
  bool byte_fallback = false;  ///< unknown parts become tokens "<0x..>" where all of these are there
  bool single = false;  ///< sums in single precision, as SentencePiece's own; Hugging Face's are double
  std::vector<bool> usable = {};  ///< tokens that text is searched for; empty: all
};

/// Viterbi over the characters of a piece; a character without a token of its own costs the lowest score
/// less 10. Neighbours among the unknown become one token. n bytes cost O(n) times the longest token.
class UnigramModel : public TokenModel {
 public:
  /// `scores` by id. Errors: ValueError for scores that are not finite, an unknown id that is none, and
  /// tokens above
  ///         kTokenTextLimit_bytes.
  UnigramModel(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options);
  void encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  struct Node {
    double score = 0;
    int64_t from = -1;
    int32_t id = -1;
  };
  void extend(std::string_view piece, size_t from, std::vector<Node>& best) const;
  void emit_unknown(std::string_view part, std::vector<int32_t>& ids) const;

  std::vector<double> scores_;
  UnigramOptions options_;
  ByteTrie trie_;
  double unknown_score_ = 0;
  std::vector<int32_t> bytes_;
};

}  // namespace gw::inline text
