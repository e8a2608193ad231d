#include "gatewright/text/word_piece.h"

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {

WordPieceModel::WordPieceModel(Vocabulary words, WordPieceOptions options)
    : TokenModel(std::move(words)),
      options_(std::move(options)),
      unknown_(vocabulary().find(options_.unknown)) {
  GW_CHECK(unknown_ >= 0, "model.unk_token: expected a token of the vocabulary, got \"{}\"",
           shown(options_.unknown, 60));
  for (int32_t id = 0; id < vocabulary().end(); ++id) {
    if (!vocabulary().has(id) || vocabulary().token(id).empty()) continue;
    const std::string& token = vocabulary().token(id);
    GW_CHECK(token.size() <= kTokenTextLimit_bytes,
             "model.vocab: expected at most {} bytes, got {} for id {}", kTokenTextLimit_bytes, token.size(),
             id);
    trie_.insert(token, id);
  }
  for (const char c : options_.prefix) {
    inside_ = trie_.child(inside_, static_cast<unsigned char>(c));
    if (inside_ == ByteTrie::kNone) break;
  }
}

void WordPieceModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  const size_t before = ids.size();
  const auto unknown = [&] { ids.resize(before), ids.push_back(unknown_); };
  if (code_points(piece) > static_cast<size_t>(options_.longest)) return unknown();
  for (size_t begin = 0; begin < piece.size();) {
    uint32_t node = begin == 0 ? ByteTrie::kRoot : inside_;
    size_t longest = begin;
    int32_t id = -1;
    for (size_t end = begin; end < piece.size() && node != ByteTrie::kNone;) {
      node = trie_.child(node, static_cast<unsigned char>(piece[end++]));
      if (node == ByteTrie::kNone || trie_.value(node) < 0) continue;
      longest = end;
      id = trie_.value(node);
    }
    if (id < 0) return unknown();
    ids.push_back(id);
    begin = longest;
  }
}

}  // namespace gw::inline text
