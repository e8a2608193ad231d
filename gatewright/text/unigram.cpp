#include "gatewright/text/unigram.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {
constexpr double kUnknownPenalty = 10;
}

UnigramModel::UnigramModel(Vocabulary words, std::vector<double> scores, UnigramOptions options)
    : TokenModel(std::move(words)), scores_(std::move(scores)), options_(std::move(options)) {
  const auto end = static_cast<int64_t>(vocabulary().end());
  GW_CHECK(options_.unknown < end, "model.unk_id: expected an id below {}, got {}", end, options_.unknown);
  double lowest = std::numeric_limits<double>::infinity();
  for (int32_t id = 0; id < end; ++id) {
    const auto at = static_cast<size_t>(id);
    if (!vocabulary().has(id) || (!options_.usable.empty() && !options_.usable[at])) continue;
    const std::string& token = vocabulary().token(id);
    GW_CHECK(std::isfinite(scores_[at]), "model.vocab[{}]: expected a finite score, got {}", id, scores_[at]);
    GW_CHECK(token.size() <= kTokenTextLimit_bytes, "model.vocab[{}]: expected at most {} bytes, got {}", id,
             kTokenTextLimit_bytes, token.size());
    if (!token.empty()) trie_.insert(token, id);
    lowest = std::min(lowest, scores_[at]);
  }
  unknown_score_ = lowest - kUnknownPenalty;
  if (options_.single) unknown_score_ = static_cast<float>(unknown_score_);
  bytes_ = options_.byte_fallback ? byte_tokens(vocabulary()) : std::vector<int32_t>(256, -1);
}

void UnigramModel::extend(std::string_view piece, size_t from, std::vector<Node>& best) const {
  const double here = best[from].score;
  const size_t character = from + utf8_length(piece[from]);
  const auto offer = [&](size_t end, double score, int32_t id) {
    const double sum = options_.single ? static_cast<double>(static_cast<float>(score + here)) : score + here;
    if (best[end].from < 0 || sum > best[end].score) best[end] = {sum, static_cast<int64_t>(from), id};
  };
  bool covered = false;
  uint32_t node = ByteTrie::kRoot;
  for (size_t end = from; end < piece.size();) {
    node = trie_.child(node, static_cast<unsigned char>(piece[end]));
    if (node == ByteTrie::kNone) break;
    ++end;
    const int32_t id = trie_.value(node);
    if (id < 0) continue;
    offer(end, scores_[static_cast<size_t>(id)], id);
    covered |= end == character;
  }
  if (!covered) offer(character, unknown_score_, static_cast<int32_t>(options_.unknown));
}

void UnigramModel::emit_unknown(std::string_view part, std::vector<int32_t>& ids) const {
  const int32_t known = vocabulary().find(part);  // the unknown token itself, written out
  if (known >= 0) return ids.push_back(known);
  const bool in_bytes = options_.byte_fallback && std::all_of(part.begin(), part.end(), [&](char c) {
                          return bytes_[static_cast<unsigned char>(c)] >= 0;
                        });
  if (in_bytes) {
    for (const char c : part) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
    return;
  }
  GW_CHECK(options_.unknown >= 0, "model: expected a token for \"{}\", got none; the vocabulary needs unk_id",
           shown(part, 60));
  ids.push_back(static_cast<int32_t>(options_.unknown));
}

void UnigramModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  std::vector<Node> best(piece.size() + 1);
  for (size_t at = 0; at < piece.size(); at += utf8_length(piece[at])) extend(piece, at, best);
  std::vector<size_t> starts;  // of the tokens, the last first
  for (auto end = static_cast<int64_t>(piece.size()); end > 0; end = best[static_cast<size_t>(end)].from)
    starts.push_back(static_cast<size_t>(end));
  std::reverse(starts.begin(), starts.end());  // now their ends
  size_t unknown_from = 0, begin = 0;
  bool unknown = false;
  for (const size_t end : starts) {
    const int32_t id = best[end].id;
    const bool is_unknown = id == options_.unknown;
    if (unknown && !is_unknown) emit_unknown(piece.substr(unknown_from, begin - unknown_from), ids);
    if (is_unknown && !unknown) unknown_from = begin;
    if (!is_unknown) ids.push_back(id);
    unknown = is_unknown;
    begin = end;
  }
  if (unknown) emit_unknown(piece.substr(unknown_from), ids);
}

}  // namespace gw::inline text
