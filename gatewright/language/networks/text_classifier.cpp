#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/text_encoder.h"
#include "gatewright/language/token_batch.h"
#include "gatewright/models/mixture_blocks.h"

namespace gw::inline language {
namespace {

/// What a text is: an encoder in which every token sees its whole text, the mean of tokens, a linear map.
/// Shapes: token [B, T] → [B, width of the answer].
/// Routers see: "token_id", "sequence" (each text); never the domain, which often is the answer.
/// Errors: ValueError for data without tokens and for tasks with an answer for each token.
/// Cost:   gatewright/language/text_encoder.h.
class TextClassifier : public Model {
 public:
  static constexpr const char* kSummary = "an encoder of attention and mixtures: one answer for a text";
  static constexpr const char* kSource = "Vaswani et al. 2017, arXiv 1706.03762";
  struct Options : DecoderOptions {};

  TextClassifier(const Options& given, const Context& context)
      : Model("TextClassifier"), data_(context.data) {
    GW_CHECK(
        data_.vocabulary > 0 && data_.context > 0 && !context.answer.per_token,
        "networks/text_classifier: expected data with the field \"token\" and a task with one answer for "
        "each text, got others; take bytes and classification");
    DecoderOptions options = given;
    if (options.vocabulary == 0) options.vocabulary = data_.vocabulary;
    if (options.positions == "learned" && options.context == 0) options.context = data_.context;
    const auto rng = Rng(context.seed).fork("networks/text_classifier");
    options.seed = static_cast<int64_t>(rng.key() >> 1);
    encoder_ = register_module("encoder", std::make_shared<TextEncoder>(options));
    head_ = register_module("head",
                            std::make_shared<Linear>(options.width, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& token = batch.at("token");
    GW_CHECK(token.dim() == 2 && token.scalar_type() == at::kLong && token.size(1) > 0,
             "networks/text_classifier: expected tokens [B, T] int64, got {}", c10::str(token.sizes()));
    auto own = pass;
    own.rng = pass.rng.fork("networks/text_classifier");
    const std::vector<int64_t> lengths(static_cast<size_t>(token.size(0)), token.size(1));
    auto out = encoder_->forward({token.reshape({-1}), lengths}, own);
    return {head_->forward(out.vector), std::move(out.plans)};
  }

  Batch example(int64_t count, const Rng& rng) const override { return token_example(data_, count, rng); }
  void end_step() override { encoder_->end_step(); }
  bool routed() const override { return encoder_->options().chooses(); }
  std::string copied_name(const std::string& name) const override { return dense_name(name); }

 private:
  DataSpec data_;
  std::shared_ptr<TextEncoder> encoder_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Model, gw::TextClassifier);
