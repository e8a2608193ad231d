#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/tokenizer_parts.h"

namespace gw::inline text {
namespace {

AddedToken read_added(const Field& field, const Vocabulary& vocabulary) {
  AddedToken token;
  token.content = field.at("content").text();
  token.special = field.flag_or("special", false);
  token.lstrip = field.flag_or("lstrip", false);
  token.rstrip = field.flag_or("rstrip", false);
  token.single_word = field.flag_or("single_word", false);
  token.normalized = field.flag_or("normalized", !token.special);
  token.id = static_cast<int32_t>(field.at("id").integer(0, kTokenLimit - 1));
  const int32_t known = vocabulary.find(token.content);
  if (known >= 0 && known != token.id) field.at("id").refuse(fmt::format("{} as in the vocabulary", known));
  if (known < 0 && vocabulary.has(token.id))
    field.at("id").refuse("an id that the vocabulary does not give to \"" +
                          shown(vocabulary.token(token.id), 60) + "\"");
  return token;
}

AddedTokens read_all_added(const Field& document, const TokenizerParts& parts) {
  if (!document.has("added_tokens")) return {};
  const Field list = document.at("added_tokens");
  std::vector<AddedToken> tokens;
  std::map<int32_t, std::string> taken;
  for (size_t i = 0; i < list.size(); ++i) {
    AddedToken token = read_added(list[i], parts.model->vocabulary());
    const auto [at, fresh] = taken.emplace(token.id, token.content);
    if (!fresh && at->second != token.content)
      list[i].at("id").refuse("an id of its own, not that of \"" + shown(at->second, 60) + "\"");
    tokens.push_back(std::move(token));
  }
  return AddedTokens(std::move(tokens), parts.normalizer.get());
}

}  // namespace

std::shared_ptr<TokenizerParts> read_tokenizer_json(const Field& document) {
  const std::string version = document.text_or("version", "1.0");
  GW_CHECK(version == "1.0", "{}.version: expected 1.0, got \"{}\"", document.place(), shown(version, 60));
  auto parts = std::make_shared<TokenizerParts>();
  parts->model = make_token_model(document.at("model"));
  if (document.has("normalizer")) parts->normalizer = make_normalizer(document.at("normalizer"));
  if (document.has("pre_tokenizer")) parts->pre_tokenizer = make_pre_tokenizer(document.at("pre_tokenizer"));
  if (document.has("post_processor"))
    parts->post_processor = make_post_processor(document.at("post_processor"));
  if (document.has("decoder"))
    parts->decoders = make_decoders(document.at("decoder"));
  else
    parts->decoders = {make_joining_decoder()};
  parts->added = read_all_added(document, *parts);
  return parts;
}

}  // namespace gw::inline text
