// Mistral's tekken.json: byte-pair encoding whose merges are the tokens' ranks, behind a block of special
// tokens.
#include "gatewright/base/base64.h"
#include "gatewright/base/check.h"
#include "gatewright/text/bpe.h"
#include "gatewright/text/byte_alphabet.h"
#include "gatewright/text/tokenizer_parts.h"

namespace gw::inline text {
namespace {

// The names that files before "special_tokens" leave to the reader.
constexpr const char* kNames[] = {"<unk>",
                                  "<s>",
                                  "</s>",
                                  "[INST]",
                                  "[/INST]",
                                  "[AVAILABLE_TOOLS]",
                                  "[/AVAILABLE_TOOLS]",
                                  "[TOOL_RESULTS]",
                                  "[/TOOL_RESULTS]",
                                  "[TOOL_CALLS]",
                                  "[IMG]",
                                  "<pad>",
                                  "[IMG_BREAK]",
                                  "[IMG_END]",
                                  "[PREFIX]",
                                  "[MIDDLE]",
                                  "[SUFFIX]",
                                  "[SYSTEM_PROMPT]",
                                  "[/SYSTEM_PROMPT]",
                                  "[TOOL_CONTENT]"};

std::vector<AddedToken> read_special(const Field& document, int64_t count) {
  std::vector<AddedToken> tokens(static_cast<size_t>(count));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i].content = i < std::size(kNames) ? kNames[i] : fmt::format("<SPECIAL_{}>", i);
    tokens[i].id = static_cast<int32_t>(i);
    tokens[i].special = true;
  }
  if (!document.has("special_tokens")) return tokens;
  const Field list = document.at("special_tokens");
  for (size_t i = 0; i < list.size(); ++i) {
    const auto rank = static_cast<size_t>(list[i].at("rank").integer(0, count - 1));
    tokens[rank].content = list[i].at("token_str").text();
  }
  return tokens;
}

}  // namespace

std::shared_ptr<TokenizerParts> read_tekken(const Field& document) {
  const Field config = document.at("config"), list = document.at("vocab");
  const int64_t size = config.at("default_vocab_size").integer(1, kTokenLimit);
  const int64_t special =
      config.at("default_num_special_tokens").integer(1, std::min<int64_t>(size, 1 << 16));
  GW_CHECK(size - special <= static_cast<int64_t>(list.size()), "{}: expected at least {} tokens, got {}",
           list.place(), size - special, list.size());
  Vocabulary vocabulary;
  vocabulary.reserve(static_cast<size_t>(size));
  auto parts = std::make_shared<TokenizerParts>();
  std::vector<AddedToken> added = read_special(document, special);
  for (const auto& token : added) vocabulary.add(token.content, token.id);
  std::vector<uint32_t> ranks(static_cast<size_t>(size), UINT32_MAX);
  std::vector<bool> usable(static_cast<size_t>(size), false);
  for (size_t i = 0; i < list.size(); ++i) {
    const Field entry = list[i];
    const int64_t id = special + entry.at("rank").integer(0, kTokenLimit);
    if (id >= size) continue;  // files hold more than the model knows
    const Field bytes = entry.at("token_bytes");
    if (!vocabulary.add(as_characters(base64_decode(bytes.text(), bytes.place())), id))
      entry.at("rank").refuse("a rank of its own");
    ranks[static_cast<size_t>(id)] = static_cast<uint32_t>(id);
    usable[static_cast<size_t>(id)] = true;
  }
  const Field pattern = config.at("pattern");
  parts->pre_tokenizer = make_byte_level_splits({pattern.text()}, pattern.place());
  BpeOptions options;
  options.ignore_merges = true;
  MergeTable merges = merges_by_rank(vocabulary, ranks, usable);
  parts->model = std::make_shared<BpeModel>(std::move(vocabulary), std::move(merges), std::move(options));
  parts->decoders = {make_byte_level_decoder()};
  parts->bos = 1;
  parts->eos = 2;
  parts->post_processor = PostProcessor({parts->bos, PostProcessor::kText});
  parts->added = AddedTokens(std::move(added), nullptr);
  return parts;
}

}  // namespace gw::inline text
