#include "gatewright/text/model.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/bpe.h"
#include "gatewright/text/field.h"
#include "gatewright/text/unigram.h"
#include "gatewright/text/word_piece.h"

namespace gw::inline text {
namespace {

/// An object of tokens and ids.
Vocabulary read_vocabulary(const Field& field) {
  if (!field.json().is_object()) field.refuse("an object of tokens and ids");
  // A file cannot ask for more memory than a multiple of its size.
  const auto most = static_cast<int64_t>(4 * field.json().size() + (1 << 16));
  Vocabulary vocabulary;
  vocabulary.reserve(field.json().size());
  for (auto at = field.json().begin(); at != field.json().end(); ++at) {
    const std::string place = field.place();
    const auto named = [&] { return Field(*at, place + "[\"" + shown(at.key(), 60) + "\"]"); };
    if (!at->is_number_integer()) named().integer(0, most);
    const auto id = at->get<int64_t>();
    if (id < 0 || id > most) named().integer(0, most);
    if (!vocabulary.add(at.key(), id))
      named().refuse("an id of its own, not that of \"" +
                     shown(vocabulary.token(static_cast<int32_t>(id)), 60) + "\"");
  }
  return vocabulary;
}

/// "a b" or ["a", "b"]. Where only "#version" stands there is no merge.
bool read_pair(const Field& field, std::string& left, std::string& right) {
  if (field.json().is_array()) {
    if (field.size() != 2) field.refuse("two tokens");
    left = field[0].text();
    right = field[1].text();
    return true;
  }
  const std::string& text = field.text();
  if (text.rfind("#version", 0) == 0) return false;
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    field.refuse("two tokens with a space between them");
  left = text.substr(0, space);
  right = text.substr(space + 1);
  return true;
}

MergeTable read_merges(const Field& field, const Vocabulary& vocabulary, const std::string& prefix) {
  MergeTable merges;
  merges.reserve(field.size());
  uint32_t rank = 0;
  std::string left, right;
  for (size_t i = 0; i < field.size(); ++i) {
    const Field pair = field[i];
    if (!read_pair(pair, left, right)) continue;
    const auto id = [&](const std::string& token) {
      const int32_t found = vocabulary.find(token);
      if (found < 0) pair.refuse("tokens of the vocabulary, which lacks \"" + shown(token, 60) + "\"");
      return found;
    };
    const bool inside = !prefix.empty() && right.compare(0, prefix.size(), prefix) == 0;
    const int32_t a = id(left), b = id(right);
    merges.put(a, b, {rank++, id(left + (inside ? right.substr(prefix.size()) : right))});
  }
  return merges;
}

TokenModelPtr read_bpe(const Field& field) {
  BpeOptions options;
  options.unknown = field.text_or("unk_token", "");
  options.prefix = field.text_or("continuing_subword_prefix", "");
  options.suffix = field.text_or("end_of_word_suffix", "");
  options.fuse_unknown = field.flag_or("fuse_unk", false);
  options.byte_fallback = field.flag_or("byte_fallback", false);
  options.ignore_merges = field.flag_or("ignore_merges", false);
  if (field.has("dropout") && field.at("dropout").real() != 0)
    field.at("dropout").refuse("none, as an encoding is not random here");
  Vocabulary vocabulary = read_vocabulary(field.at("vocab"));
  MergeTable merges = read_merges(field.at("merges"), vocabulary, options.prefix);
  return std::make_shared<BpeModel>(std::move(vocabulary), std::move(merges), std::move(options));
}

TokenModelPtr read_unigram(const Field& field) {
  const Field list = field.at("vocab");
  Vocabulary vocabulary;
  vocabulary.reserve(list.size());
  std::vector<double> scores;
  for (size_t i = 0; i < list.size(); ++i) {
    const Field entry = list[i];
    if (entry.size() != 2) entry.refuse("a token and its score");
    vocabulary.add(entry[0].text(), static_cast<int64_t>(i));
    scores.push_back(entry[1].real());
  }
  UnigramOptions options;
  options.unknown = field.integer_or("unk_id", -1, 0, kTokenLimit);
  options.byte_fallback = field.flag_or("byte_fallback", false);
  return std::make_shared<UnigramModel>(std::move(vocabulary), std::move(scores), std::move(options));
}

TokenModelPtr read_word_piece(const Field& field) {
  WordPieceOptions options;
  options.unknown = field.text_or("unk_token", options.unknown);
  options.prefix = field.text_or("continuing_subword_prefix", options.prefix);
  options.longest = field.integer_or("max_input_chars_per_word", options.longest, 0, INT32_MAX);
  return std::make_shared<WordPieceModel>(read_vocabulary(field.at("vocab")), std::move(options));
}

/// Old files name no type: what else is there tells it.
std::string type_of(const Field& field) {
  if (field.has("type")) return field.type();
  if (field.has("merges")) return "BPE";
  return field.has("vocab") && field.at("vocab").json().is_array() ? "Unigram" : "WordPiece";
}

}  // namespace

std::vector<int32_t> byte_tokens(const Vocabulary& vocabulary) {
  std::vector<int32_t> ids;
  for (int byte = 0; byte < 256; ++byte) ids.push_back(vocabulary.find(fmt::format("<0x{:02X}>", byte)));
  return ids;
}

TokenModelPtr make_token_model(const Field& field) {
  const std::string type = type_of(field);
  if (type == "BPE") return read_bpe(field);
  if (type == "Unigram") return read_unigram(field);
  if (type == "WordPiece") return read_word_piece(field);
  fail("{}.type: expected a model, got \"{}\"{}", field.place(), shown(type, 60),
       near_miss(type, {"BPE", "Unigram", "WordPiece"}));
}

}  // namespace gw::inline text
