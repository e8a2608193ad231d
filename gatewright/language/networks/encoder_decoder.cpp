#include "gatewright/language/encoder_decoder.h"

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/pair_batch.h"

namespace gw::inline language {
namespace {

/// An encoder that reads one text and a decoder that writes another, trained from nothing: NLLB's form with
/// positions = "sinusoidal", centred_norm, biases everywhere and mixture = {policy = {part = "nllb_top2"},
/// …} in every second layer. Both sides have the same options, and share their embeddings.
/// Shapes: source_token [B, S], token [B, T] → [B, T, vocabulary]; kNoToken behind the ends of texts.
/// Routers see: "token_id", "sequence" (the texts of the batch).
/// Cost:   gatewright/language/encoder_decoder.h; texts of one length are faster than of several.
class EncoderDecoderNetwork : public Model {
 public:
  static constexpr const char* kSummary =
      "an encoder that reads one text, a decoder that writes another, and mixtures in both";
  static constexpr const char* kSource =
      "Vaswani et al. 2017, arXiv 1706.03762; NLLB team 2022, arXiv 2207.04672";
  struct Options : DecoderOptions {
    int64_t encoder_depth = 0, start = 2, padding = 1;
    void fields(OptionVisitor& v) override {
      v.integer("encoder_depth", encoder_depth, "layers of the encoder; 0: as many as depth", 0, 4096);
      v.integer("start", start, "the token that every written text begins with", 0, 1 << 24);
      v.integer("padding", padding,
                "a token that no text has; sinusoidal places count from the number after it, as fairseq's do",
                0, 1 << 24);
      DecoderOptions::fields(v);
    }
  };

  EncoderDecoderNetwork(const Options& given, const Context& context)
      : Model("EncoderDecoderNetwork"), context_(context) {
    const auto& data = context.data;
    GW_CHECK(
        data.vocabulary > 0 && data.source_context > 0,
        "networks/encoder_decoder: expected data with the fields \"token\" and \"source_token\", got others; "
        "take translations");
    GW_CHECK(
        context.answer.per_token,
        "networks/encoder_decoder: expected a task with an answer for each token (next_token), got one for "
        "each example");
    GW_CHECK(given.adapters.empty(),
             "networks/encoder_decoder: expected no adapters, which only networks/decoder has, got some");
    EncoderDecoderOptions both;
    both.decoder = given;
    auto& writes = both.decoder;
    if (writes.vocabulary == 0) writes.vocabulary = context.answer.width;
    GW_CHECK(writes.vocabulary == context.answer.width,
             "networks/encoder_decoder: expected a vocabulary of {} as the data have it, got {}",
             context.answer.width, writes.vocabulary);
    writes.seed = static_cast<int64_t>(Rng(context.seed).fork("networks/encoder_decoder").key() >> 1);
    writes.first_place = given.padding + 1;
    both.encoder = writes;
    if (given.encoder_depth > 0) both.encoder.depth = given.encoder_depth;
    both.start = given.start;
    network_ = register_module("pair", std::make_shared<EncoderDecoder>(both));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    return answer_pairs("networks/encoder_decoder", *network_, batch, pass);
  }
  Batch example(int64_t count, const Rng& rng) const override {
    return pair_example(context_.data, count, rng);
  }
  void end_step() override { network_->end_step(); }
  bool routed() const override {
    return network_->options().encoder.chooses() || network_->options().decoder.chooses();
  }

 private:
  Context context_;
  std::shared_ptr<EncoderDecoder> network_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Model, gw::EncoderDecoderNetwork);
