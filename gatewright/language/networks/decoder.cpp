#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/text_encoder.h"
#include "gatewright/language/token_batch.h"

namespace gw::inline language {
namespace {

/// A decoder of attention and mixtures, as published language models are, trained from nothing: OLMoE's form
/// with query_norm = "whole" and mixture = {experts = 64, policy = {part = "softmax_top_k", k = 8}, …}.
/// Shapes: token [B, T] → [B, T, vocabulary], or [B, width] by a linear map of the last token's vector.
/// With `adapters` embeddings, norms and all weights are held still, under the names that a decoder without
/// them has: it starts from that one's checkpoint (start = {copies = true}) and answers as it does until the
/// first update (Liu and Luo 2024, arXiv 2405.00361). Experts of perceptrons and the head get no adapters.
/// Routers see: "token_id", "sequence" (the texts of the batch).
/// Cost:   gatewright/language/decoder.h.
class DecoderNetwork : public Model {
 public:
  static constexpr const char* kSummary =
      "decoder of attention and mixtures, as published language models are";
  static constexpr const char* kSource =
      "Vaswani et al. 2017, arXiv 1706.03762; Muennighoff et al. 2024, arXiv 2409.02060";
  using Options = DecoderOptions;

  DecoderNetwork(const Options& given, const Context& context) : Model("DecoderNetwork"), context_(context) {
    const auto& data = context.data;
    GW_CHECK(data.vocabulary > 0 && data.context > 0,
             "networks/decoder: expected data with the field \"token\", got none; take bytes");
    GW_CHECK(context.answer.per_token,
             "networks/decoder: expected a task with an answer for each token (next_token), got one for each "
             "example");
    auto options = given;
    if (options.positions == "learned" && options.context == 0) options.context = data.context;
    if (options.vocabulary == 0) options.vocabulary = std::max(data.vocabulary, context.answer.width);
    GW_CHECK(options.vocabulary >= data.vocabulary && options.vocabulary == context.answer.width,
             "networks/decoder: expected a vocabulary of {} as the data and the task have it, got {}",
             context.answer.width, options.vocabulary);
    options.seed = static_cast<int64_t>(Rng(context.seed).fork("networks/decoder").key() >> 1);
    decoder_ = register_module("decoder", std::make_shared<Decoder>(options));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    return answer_tokens("networks/decoder", *decoder_, batch, pass);
  }

  Batch example(int64_t count, const Rng& rng) const override {
    return token_example(context_.data, count, rng);
  }

  void end_step() override { decoder_->end_step(); }
  bool routed() const override { return decoder_->options().chooses(); }
  std::string copied_name(const std::string& name) const override { return dense_name(name); }

 private:
  Context context_;
  std::shared_ptr<Decoder> decoder_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Model, gw::DecoderNetwork);
