#include "gatewright/language/language_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/model_tokenizer.h"
#include "gatewright/language/token_batch.h"

namespace gw::inline language {
namespace {

/// A published language model, or an upcycled one, trained on from its weights: all of them, in f32.
/// `gatewright convert RUN --out FOLDER` writes the result as the folder that transformers loads.
/// Shapes: token [B, T] → [B, T, vocabulary].
/// Errors: those of load_language_model; ValueError for data whose vocabulary is another model's.
/// Cost:   gatewright/language/decoder.h. Memory: four numbers a parameter with Adam.
class LanguageModelNetwork : public Model {
 public:
  static constexpr const char* kSummary =
      "a language model of Hugging Face's or llama.cpp's files, trained on from its weights";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    std::string model;
    std::vector<PartChoice> balancers;
    bool recompute = false;
    std::string compute = "f32";
    void fields(OptionVisitor& v) override {
      v.text("model", model, "folder, GGUF file, or name in $GATEWRIGHT_MODELS");
      v.parts("balancers", balancers, "balance losses and controllers of its mixtures");
      v.flag("recompute", recompute,
             "keep no hidden values of the mixtures' experts for the backward pass and compute them again");
      v.text("compute", compute,
             "of the mixtures' experts; bf16: products of rounded copies, weights and gradients stay f32",
             {"f32", "bf16"});
    }
  };

  LanguageModelNetwork(const Options& options, const Context& context)
      : Model("LanguageModelNetwork"), context_(context), model_(options.model) {
    GW_CHECK(!options.model.empty(), "networks/language_model: expected a model to start from, got none");
    GW_CHECK(context.data.vocabulary > 0 && context.answer.per_token,
             "networks/language_model: expected data with the field \"token\" and the task next_token, got "
             "others; take texts");
    LoadOptions load;
    load.weights = "f32";
    load.change = [&](DecoderOptions& decoder) { change(options, decoder); };
    decoder_ = register_module("decoder", load_language_model(find_model(options.model), load).decoder);
    for (auto& parameter : decoder_->parameters())  // those of f32 files are the files' own memory
      parameter.set_data(parameter.detach().clone()), parameter.set_requires_grad(true);
    decoder_->train();
  }

  // Not when it is made: recipes are checked with models of made-up data.
  void prepare(const TensorSet& train) override {
    const int64_t vocabulary = decoder_->options().vocabulary;
    GW_CHECK(
        context_.answer.width == vocabulary,
        "networks/language_model: expected data with the {} tokens of {}, got {} for {} examples; name that "
        "model in the data too: data = {{ part = \"texts\", model = … }}",
        vocabulary, model_, context_.answer.width, train.size());
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    return answer_tokens("networks/language_model", *decoder_, batch, pass);
  }
  Batch example(int64_t count, const Rng& rng) const override {
    auto data = context_.data;
    data.vocabulary = std::min(data.vocabulary, decoder_->options().vocabulary);
    return token_example(data, count, rng);
  }
  void end_step() override { decoder_->end_step(); }
  bool routed() const override { return decoder_->options().experts() > 1; }

 private:
  static void change(const Options& options, DecoderOptions& decoder) {
    if (decoder.mixture.empty()) {
      GW_CHECK(
          options.balancers.empty(),
          "networks/language_model: expected a mixture for balancers, got the dense model {}; gatewright "
          "upcycle makes it one",
          options.model);
      return;
    }
    auto mixture = decoder.mixture.json();
    for (const auto& balancer : options.balancers) mixture["balancers"].push_back(balancer.json());
    for (const char* bank : {"bank", "shared_bank"}) {
      if (!mixture.contains(bank)) continue;
      mixture[bank]["recompute"] = options.recompute, mixture[bank]["compute"] = options.compute;
    }
    decoder.mixture = mixture;
  }

  Context context_;
  std::string model_;
  std::shared_ptr<Decoder> decoder_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Model, gw::LanguageModelNetwork);
