// SentencePiece's tokenizer.model: the fields of its ModelProto that encoding needs.
#include <cstring>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/bpe.h"
#include "gatewright/text/protobuf.h"
#include "gatewright/text/tokenizer_parts.h"
#include "gatewright/text/unigram.h"

namespace gw::inline text {
namespace {

enum PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
enum ModelType { kUnigram = 1, kBpe = 2 };

struct Model {
  Vocabulary vocabulary;
  std::vector<double> scores;
  std::vector<uint64_t> types;
  uint64_t type = kUnigram;
  bool byte_fallback = false;
  int64_t unknown = 0, bos = 1, eos = 2;
  SentencePieceText text;
};

void read_piece(ProtobufReader message, Model& model) {
  std::string_view token;
  float score = 0;
  uint64_t type = kNormal;
  while (message.next()) {
    if (message.field() == 1) token = message.bytes();
    if (message.field() == 2) score = message.f32();
    if (message.field() == 3) type = message.varint();
  }
  const size_t id = model.scores.size();
  GW_CHECK(invalid_utf8(token) == std::string_view::npos,
           "{}: expected tokens in UTF-8, got others for id {}", message.where(), id);
  GW_CHECK(type >= kNormal && type <= kByte, "{}: expected types from 1 to 6, got {} for id {}",
           message.where(), type, id);
  model.vocabulary.add(std::string(token), static_cast<int64_t>(id));
  model.scores.push_back(score);
  model.types.push_back(type);
}

void read_trainer(ProtobufReader message, Model& model) {
  while (message.next()) {
    if (message.field() == 3) model.type = message.varint();
    if (message.field() == 35) model.byte_fallback = message.varint() != 0;
    if (message.field() == 40) model.unknown = message.int32();
    if (message.field() == 41) model.bos = message.int32();
    if (message.field() == 42) model.eos = message.int32();
  }
}

void read_normalizer(ProtobufReader message, Model& model) {
  while (message.next()) {
    if (message.field() == 2 && !message.bytes().empty())
      model.text.charsmap =
          std::make_shared<const Charsmap>(message.bytes(), message.where() + ": precompiled_charsmap");
    if (message.field() == 3) model.text.dummy_prefix = message.varint() != 0;
    if (message.field() == 4) model.text.remove_extra_whitespaces = message.varint() != 0;
    if (message.field() == 5) model.text.escape_whitespaces = message.varint() != 0;
  }
}

Model read_model(std::string_view bytes, const std::string& where) {
  Model model;
  ProtobufReader message(bytes, where);
  while (message.next()) {
    if (message.field() == 1) read_piece(ProtobufReader(message.bytes(), where + ": pieces"), model);
    if (message.field() == 2) read_trainer(ProtobufReader(message.bytes(), where + ": trainer_spec"), model);
    if (message.field() == 3)
      read_normalizer(ProtobufReader(message.bytes(), where + ": normalizer_spec"), model);
  }
  GW_CHECK(!model.scores.empty(), "{}: expected a SentencePiece model, got no pieces", where);
  GW_CHECK(model.type == kUnigram || model.type == kBpe,
           "{}: expected a model of type 1 (unigram) or 2 (bpe), got {}", where, model.type);
  return model;
}

TokenModelPtr make_model(Model& model, const std::string& where) {
  std::vector<bool> usable;
  for (const uint64_t type : model.types) usable.push_back(type == kNormal || type == kUserDefined);
  if (model.type == kUnigram) {
    UnigramOptions options;
    options.unknown = model.unknown;
    options.byte_fallback = model.byte_fallback;
    options.single = true;
    options.usable = std::move(usable);
    return std::make_shared<UnigramModel>(std::move(model.vocabulary), std::move(model.scores),
                                          std::move(options));
  }
  BpeOptions options;
  options.byte_fallback = model.byte_fallback;
  options.fuse_unknown = true;
  const auto unknown = static_cast<int32_t>(model.unknown);
  GW_CHECK(model.vocabulary.has(unknown), "{}: expected unk_id to be a token, got {}", where, unknown);
  options.unknown = model.vocabulary.token(unknown);
  MergeTable merges = merges_by_rank(model.vocabulary, ranks_by_score(model.scores), usable);
  return std::make_shared<BpeModel>(std::move(model.vocabulary), std::move(merges), std::move(options));
}

}  // namespace

std::shared_ptr<TokenizerParts> read_sentence_piece(std::string_view bytes, const std::string& where) {
  Model model = read_model(bytes, where);
  std::vector<AddedToken> added;
  for (size_t i = 0; i < model.types.size(); ++i) {
    if (model.types[i] != kControl && model.types[i] != kUserDefined && model.types[i] != kUnknown) continue;
    AddedToken token;
    token.id = static_cast<int32_t>(i);
    token.content = model.vocabulary.token(token.id);
    token.special = model.types[i] != kUserDefined;
    added.push_back(std::move(token));
  }
  auto parts = std::make_shared<TokenizerParts>();
  const auto known = [&](int64_t id) { return id >= 0 && model.vocabulary.has(static_cast<int32_t>(id)); };
  if (known(model.bos)) parts->bos = static_cast<int32_t>(model.bos);
  if (known(model.eos)) parts->eos = static_cast<int32_t>(model.eos);
  // What the models do that came with either kind: Llama and Mistral begin with bos, T5 and NLLB end with
  // eos.
  if (model.type == kBpe && parts->bos >= 0)
    parts->post_processor = PostProcessor({parts->bos, PostProcessor::kText});
  if (model.type == kUnigram && parts->eos >= 0)
    parts->post_processor = PostProcessor({PostProcessor::kText, parts->eos});
  parts->decoders = make_sentence_piece_decoders(model.text.dummy_prefix);
  parts->normalizer = make_sentence_piece_normalizer(model.text);
  parts->model = make_model(model, where);
  parts->added = AddedTokens(std::move(added), nullptr);
  return parts;
}

}  // namespace gw::inline text
