#include "gatewright/text/decoder.h"

#include <functional>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/decode_stages.h"
#include "gatewright/text/normalizer.h"
#include "gatewright/text/replace.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {

class FromFunction : public Decoder {
 public:
  using Make = std::function<std::unique_ptr<DecodeStage>()>;
  explicit FromFunction(Make make) : make_(std::move(make)) {}
  std::unique_ptr<DecodeStage> stage() const override { return make_(); }

 private:
  Make make_;
};

DecoderPtr decoder(FromFunction::Make make) { return std::make_shared<FromFunction>(std::move(make)); }

template <class Change>
DecoderPtr per_token(Change change) {
  return decoder([change] { return std::make_unique<PerToken<Change>>(change); });
}

/// What BERT's tokenizer undid in English.
std::string cleaned_up(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kPairs[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [word, by] : kPairs) text = with_replaced(text, word, by);
  return text;
}

DecoderPtr make_word_piece(const Field& field) {
  const std::string prefix = field.text_or("prefix", "##");
  const bool cleanup = field.flag_or("cleanup", true);
  return per_token([=](std::string_view token, size_t index) {
    std::string out(token);
    if (index > 0 && token.substr(0, prefix.size()) == prefix)
      out.erase(0, prefix.size());
    else if (index > 0)
      out.insert(0, 1, ' ');
    return cleanup ? cleaned_up(std::move(out)) : out;
  });
}

DecoderPtr make_metaspace(const Field& field) {
  const std::string mark = field.at("replacement").character();
  const bool prepended =
      field.text_or("prepend_scheme", "always") != "never" && field.flag_or("add_prefix_space", true);
  return per_token([=](std::string_view token, size_t index) {
    return with_replaced(token, mark, index == 0 && prepended ? "" : " ");
  });
}

DecoderPtr make_strip(const Field& field) {
  const std::string character = field.at("content").character();
  const auto start = static_cast<size_t>(field.at("start").integer(0, 1 << 20));
  const auto stop = static_cast<size_t>(field.at("stop").integer(0, 1 << 20));
  return decoder([=] { return std::make_unique<StripStage>(character, start, stop); });
}

DecoderPtr make_replace(const Field& field) {
  const auto replace = std::make_shared<const Replace>(field);
  return per_token(
      [=](std::string_view token, size_t) { return replace->applied(token, normal_limit(token.size())); });
}

DecoderPtr make_decoder(const Field& field) {
  const std::string& type = field.type();
  if (type == "ByteLevel") return make_byte_level_decoder();
  if (type == "ByteFallback") return decoder([] { return std::make_unique<ByteFallbackStage>(); });
  if (type == "Fuse") return decoder([] { return std::make_unique<FuseStage>(); });
  if (type == "Strip") return make_strip(field);
  if (type == "Replace") return make_replace(field);
  if (type == "Metaspace") return make_metaspace(field);
  if (type == "WordPiece") return make_word_piece(field);
  if (type == "BPEDecoder") {
    const std::string suffix = field.text_or("suffix", "</w>");
    return decoder([=] { return std::make_unique<WordEndStage>(suffix); });
  }
  fail("{}.type: expected a decoder, got \"{}\"{}", field.place(), shown(type, 60),
       near_miss(type, {"BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence",
                        "Strip", "WordPiece"}));
}

}  // namespace

std::vector<DecoderPtr> make_decoders(const Field& field) {
  if (field.type() != "Sequence") return {make_decoder(field)};
  std::vector<DecoderPtr> all;
  const Field list = field.at("decoders");
  for (size_t i = 0; i < list.size(); ++i)
    for (auto& one : make_decoders(list[i])) all.push_back(std::move(one));
  return all;
}

DecoderPtr make_joining_decoder() {
  return per_token(
      [](std::string_view token, size_t index) { return (index > 0 ? " " : "") + std::string(token); });
}

DecoderPtr make_byte_level_decoder() {
  return decoder([] { return std::make_unique<ByteLevelStage>(); });
}

std::vector<DecoderPtr> make_sentence_piece_decoders(bool drop_first) {
  std::vector<DecoderPtr> all;
  all.push_back(
      per_token([](std::string_view token, size_t) { return with_replaced(token, "\xE2\x96\x81", " "); }));
  all.push_back(decoder([] { return std::make_unique<ByteFallbackStage>(); }));
  all.push_back(decoder([] { return std::make_unique<FuseStage>(); }));
  if (drop_first) all.push_back(decoder([] { return std::make_unique<StripStage>(" ", 1, 0); }));
  return all;
}

class DecoderChain::Output : public DecodeStage {
 public:
  void part(std::string_view text) override { out += text; }
  void end_token() override {}
  void finish() override {}
  std::string out;
};

DecoderChain::DecoderChain(const std::vector<DecoderPtr>& decoders) : output_(std::make_unique<Output>()) {
  for (const auto& one : decoders) stages_.push_back(one->stage());
  for (size_t i = 0; i < stages_.size(); ++i)
    stages_[i]->connect(i + 1 < stages_.size() ? stages_[i + 1].get() : output_.get());
}

DecoderChain::DecoderChain(DecoderChain&&) noexcept = default;
DecoderChain& DecoderChain::operator=(DecoderChain&&) noexcept = default;
DecoderChain::~DecoderChain() = default;

void DecoderChain::token(std::string_view text) {
  DecodeStage& first = stages_.empty() ? *output_ : *stages_.front();
  first.part(text);
  first.end_token();
}

void DecoderChain::finish() {
  if (!stages_.empty()) stages_.front()->finish();
}

std::string DecoderChain::taken() { return std::exchange(output_->out, {}); }

}  // namespace gw::inline text
