#include "gatewright/text/gguf_vocabulary.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/bpe.h"
#include "gatewright/text/gguf_patterns.h"
#include "gatewright/text/tokenizer.h"
#include "gatewright/text/tokenizer_parts.h"

namespace gw::inline text {
namespace {

enum TokenType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

int32_t type_of(const GgufVocabulary& from, size_t id) {
  return from.token_types.empty() ? kNormal : from.token_types[id];
}

Vocabulary read_tokens(const GgufVocabulary& from) {
  const auto same = [&](const char* name, size_t size) {
    GW_CHECK(size == 0 || size == from.tokens.size(),
             "tokenizer.ggml.{}: expected {} values as there are tokens, got {}", name, from.tokens.size(),
             size);
  };
  same("token_type", from.token_types.size());
  same("scores", from.scores.size());
  GW_CHECK(!from.tokens.empty(), "tokenizer.ggml.tokens: expected tokens, got none");
  Vocabulary vocabulary;
  vocabulary.reserve(from.tokens.size());
  for (size_t id = 0; id < from.tokens.size(); ++id) {
    const std::string& token = from.tokens[id];
    GW_CHECK(invalid_utf8(token) == std::string_view::npos,
             "tokenizer.ggml.tokens[{}]: expected UTF-8, got \"{}\"", id, shown(token, 60));
    const int32_t type = type_of(from, id);
    GW_CHECK(type >= kNormal && type <= kByte,
             "tokenizer.ggml.token_type[{}]: expected a type from 1 to 6, got {}", id, type);
    const int32_t known = vocabulary.find(token);
    GW_CHECK(known < 0, "tokenizer.ggml.tokens[{}]: expected every token once, got \"{}\" as for id {}", id,
             shown(token, 60), known);
    vocabulary.add(token, static_cast<int64_t>(id));
  }
  return vocabulary;
}

MergeTable read_merges(const GgufVocabulary& from, const Vocabulary& vocabulary) {
  MergeTable merges;
  merges.reserve(from.merges.size());
  for (size_t i = 0; i < from.merges.size(); ++i) {
    const std::string& pair = from.merges[i];
    const size_t space = pair.find(' ', 1);  // a token may begin with one
    GW_CHECK(space != std::string::npos,
             "tokenizer.ggml.merges[{}]: expected two tokens with a space between them, got \"{}\"", i,
             shown(pair, 60));
    const auto id = [&](const std::string& token) {
      const int32_t found = vocabulary.find(token);
      GW_CHECK(found >= 0, "tokenizer.ggml.merges[{}]: expected tokens of the vocabulary, which lacks \"{}\"",
               i, shown(token, 60));
      return found;
    };
    const std::string left = pair.substr(0, space), right = pair.substr(space + 1);
    merges.put(id(left), id(right), {static_cast<uint32_t>(i), id(left + right)});
  }
  return merges;
}

AddedTokens read_added(const GgufVocabulary& from) {
  std::vector<AddedToken> added;
  for (size_t id = 0; id < from.tokens.size(); ++id) {
    const int32_t type = type_of(from, id);
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    AddedToken token;
    token.content = from.tokens[id];
    token.id = static_cast<int32_t>(id);
    token.special = type != kUserDefined;
    added.push_back(std::move(token));
  }
  return AddedTokens(std::move(added), nullptr);
}

void make_byte_level(const GgufVocabulary& from, Vocabulary vocabulary, TokenizerParts& parts) {
  const GgufPatterns& patterns = gguf_patterns(from.pre);
  BpeOptions options;
  options.ignore_merges = patterns.ignore_merges;
  MergeTable merges = read_merges(from, vocabulary);
  parts.model = std::make_shared<BpeModel>(std::move(vocabulary), std::move(merges), std::move(options));
  parts.pre_tokenizer = make_byte_level_splits(patterns.patterns, "tokenizer.ggml.pre");
  parts.decoders = {make_byte_level_decoder()};
}

void make_sentence_piece(const GgufVocabulary& from, Vocabulary vocabulary, TokenizerParts& parts) {
  GW_CHECK(!from.scores.empty(), "tokenizer.ggml.scores: expected a score for each of {} tokens, got none",
           from.tokens.size());
  std::vector<bool> usable;
  for (size_t id = 0; id < from.tokens.size(); ++id) {
    const int32_t type = type_of(from, id);
    usable.push_back(type == kNormal || type == kUserDefined);
  }
  BpeOptions options;
  options.byte_fallback = options.fuse_unknown = true;
  if (from.unknown >= 0) options.unknown = vocabulary.token(from.unknown);
  const std::vector<double> scores(from.scores.begin(), from.scores.end());
  for (size_t id = 0; id < scores.size(); ++id)
    GW_CHECK(scores[id] - scores[id] == 0, "tokenizer.ggml.scores[{}]: expected a finite score, got {}", id,
             scores[id]);
  MergeTable merges = merges_by_rank(vocabulary, ranks_by_score(scores), usable);
  parts.model = std::make_shared<BpeModel>(std::move(vocabulary), std::move(merges), std::move(options));
  parts.normalizer = make_sentence_piece_normalizer({nullptr, from.add_space_prefix, false, true});
  parts.decoders = make_sentence_piece_decoders(from.add_space_prefix);
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const GgufVocabulary& from) {
  auto parts = std::make_shared<TokenizerParts>();
  Vocabulary vocabulary = read_tokens(from);
  const auto check = [&](const char* name, int32_t id, bool needed) {
    GW_CHECK(id < vocabulary.end() && (id >= 0 || !needed),
             "tokenizer.ggml.{}_token_id: expected an id below {}, got {}", name, vocabulary.end(), id);
  };
  check("bos", from.bos, from.add_bos);
  check("eos", from.eos, from.add_eos);
  check("unknown", from.unknown, false);
  if (from.model == "gpt2")
    make_byte_level(from, std::move(vocabulary), *parts);
  else if (from.model == "llama")
    make_sentence_piece(from, std::move(vocabulary), *parts);
  else
    fail("tokenizer.ggml.model: expected gpt2 or llama, got \"{}\"{}", shown(from.model, 60),
         near_miss(from.model, {"gpt2", "llama"}));
  parts->added = read_added(from);
  parts->bos = from.bos;
  parts->eos = from.eos;
  std::vector<int32_t> around;
  if (from.add_bos) around.push_back(from.bos);
  around.push_back(PostProcessor::kText);
  if (from.add_eos) around.push_back(from.eos);
  parts->post_processor = PostProcessor(std::move(around));
  return Tokenizer(std::move(parts));
}

}  // namespace gw::inline text
