#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/model_tokenizer.h"
#include "gatewright/language/text_encoder.h"
#include "gatewright/language/token_batch.h"
#include "gatewright/models/table_rows.h"

namespace gw::inline language {
namespace {

/// Two texts to two vectors, whose product says how much one is about what the other is about.
/// Math:   v = mean over the tokens of the encoder's last layer, with similarity = "cosine" over its length;
///         answer v · e^(s/2), s learned: products are scaled by e^s (a temperature of e^−s).
/// Shapes: token and other [B, T] of one length → [B, 2, width].
/// With `mixture` every perceptron (or those that `every`, `dense_layers` name) becomes experts: copies of it
/// where weights come from `model`, or from the checkpoint of an arm without experts by start = {copies =
/// true}. The bank is that of the perceptron. With `specialists` each domain has a whole encoder.
/// Routers see: "token_id", "sequence" (each text) and, where the data have domains, "task" and "route" (the
/// domain, modulo the experts): both texts of a pair have one domain.
/// Errors: ValueError for a task that does not compare two texts, data without them, a bank in `mixture`,
///         `specialists` with a mixture or without domains, more texts than places.
/// Cost:   a pass of the encoder for each text; with `specialists` the weights of all domains.
/// Source: arXiv 2401.15713, reconstructed from its code; differs: no token of the domain, one learned scale.
class SentenceEncoder : public Model {
 public:
  static constexpr const char* kSummary =
      "an encoder of sentences: two texts to two vectors, with experts for domains";
  static constexpr const char* kSource = "arXiv 2401.15713; Reimers and Gurevych 2019, arXiv 1908.10084";
  struct Options : DecoderOptions {
    std::string model, similarity = "cosine";
    bool specialists = false;
    double factor = 20;
    Options() {
      width = 96, hidden = 0, gated = false, hidden_bias = query_bias = output_bias = true;
      centred_norm = norm_after = true, norm_epsilon = 1e-12, activation = "gelu", positions = "learned";
    }
    void fields(OptionVisitor& v) override {
      v.text("model", model,
             "folder of BERT's form, or name in $GATEWRIGHT_MODELS, whose sizes and weights to take; empty: "
             "drawn, of the sizes below");
      v.flag("specialists", specialists, "an encoder for each domain of the data");
      v.text("similarity", similarity, "of two texts", {"cosine", "dot"});
      v.real("factor", factor, "of the similarities at first; it is learned", 1e-6, 1e6);
      DecoderOptions::fields(v);
    }
  };

  SentenceEncoder(const Options& options, const Context& context)
      : Model("SentenceEncoder"), context_(context), similarity_(options.similarity) {
    const auto& data = context.data;
    GW_CHECK(
        data.vocabulary > 0 && data.context > 0,
        "networks/sentence_encoder: expected data with the fields \"token\" and \"other\", got none; take "
        "text_pairs");
    GW_CHECK(context.answer.parts.size() == 2 && !context.answer.per_token,
             "networks/sentence_encoder: expected a task that compares two texts (contrastive), got another");
    const bool refused = options.specialists && (!options.mixture.empty() || data.domains < 1);
    GW_CHECK(!refused,
             "networks/sentence_encoder: expected data with domains and no mixture for specialists, got {} "
             "domains",
             data.domains);
    const auto dense = options.model.empty() ? nullptr : load_text_encoder(find_model(options.model));
    const int64_t count = options.specialists ? data.domains : 1;
    for (int64_t i = 0; i < count; ++i) {
      const auto name = options.specialists ? fmt::format("specialist{}", i) : std::string("encoder");
      encoders_.push_back(register_module(name, made(options, dense.get(), i)));
    }
    log_factor_ = register_parameter("log_factor", at::full({}, std::log(options.factor)));
  }

  // Not when it is made: recipes are checked with models of made-up data.
  void prepare(const TensorSet& train) override {
    const auto& o = encoders_.front()->options();
    GW_CHECK(
        context_.data.vocabulary <= o.vocabulary && context_.data.context <= o.context,
        "networks/sentence_encoder: expected {} examples of at most {} tokens below {}, as the model has "
        "them, got {} below {}; name that model in the data too",
        train.size(), o.context, o.vocabulary, context_.data.context, context_.data.vocabulary);
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto &token = batch.at("token"), &other = batch.at("other");
    GW_CHECK(token.dim() == 2 && token.sizes() == other.sizes() && token.scalar_type() == at::kLong &&
                 other.scalar_type() == at::kLong,
             "networks/sentence_encoder: expected token and other [B, T] int64 of one length, got {} and {}",
             c10::str(token.sizes()), c10::str(other.sizes()));
    auto own = pass;
    own.rng = pass.rng.fork("networks/sentence_encoder");
    Output out;
    const auto texts = at::stack({token, other}, 1);  // both of a pair beside each other
    const auto vectors = encoders_.size() == 1 && !batch.has("domain")
                             ? vectors_of(*encoders_.front(), texts, {}, own, out)
                             : by_domain(texts, batch.at("domain"), own, out);
    const auto length = similarity_ == "cosine" ? vectors.norm(2, {2}, true).clamp_min(1e-12)
                                                : at::ones({}, vectors.options());
    out.answer = vectors / length * (log_factor_ / 2).exp();
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override {
    const auto& data = context_.data;
    Batch batch;
    for (const char* name : {"token", "other"})
      batch.fields[name] =
          drawn_tokens(rng.fork(name), {count, data.context}, data.vocabulary)
              .clamp_max(std::min(data.vocabulary, encoders_.front()->options().vocabulary) - 1);
    if (data.domains > 0) batch.fields["domain"] = at::arange(count, at::kLong).remainder(data.domains);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }

  void end_step() override {
    for (const auto& encoder : encoders_) encoder->end_step();
  }
  bool routed() const override { return encoders_.front()->options().chooses(); }

  /// Of experts the perceptron, of a specialist the one encoder.
  std::string copied_name(const std::string& name) const override {
    const auto at = name.find("specialist"), end = name.find('.', at);
    if (at == std::string::npos || end == std::string::npos) return dense_name(name);
    return dense_name(name.substr(0, at) + "encoder" + name.substr(end));
  }

 private:
  std::shared_ptr<TextEncoder> made(const Options& given, const TextEncoder* dense, int64_t number) const {
    DecoderOptions o = given;
    if (dense != nullptr) {
      o = dense->options();
      o.mixture = given.mixture, o.every = given.every, o.dense_first = given.dense_first;
      o.dense_layers = given.dense_layers, o.drawn = true;
    }
    if (o.vocabulary == 0) o.vocabulary = context_.data.vocabulary;
    if (o.context == 0) o.context = context_.data.context;
    if (!o.mixture.empty()) {
      auto mixture = o.mixture.json();
      GW_CHECK(
          !mixture.contains("bank"),
          "networks/sentence_encoder: expected no \"bank\" in \"mixture\", got one; experts are copies of "
          "the perceptron, which \"hidden\" and \"activation\" describe");
      mixture["bank"] = o.perceptron().json();
      o.mixture = mixture;
    }
    const auto rng = Rng(context_.seed).fork("networks/sentence_encoder");
    o.seed = static_cast<int64_t>(rng.fork("encoder", static_cast<uint64_t>(number)).key() >> 1);
    auto encoder = std::make_shared<TextEncoder>(o, dense != nullptr ? dense->kinds() : 0);
    if (dense != nullptr) take_copies(*encoder, *dense);
    return encoder;
  }

  /// texts [B, 2, T] → [B, 2, width].
  static at::Tensor vectors_of(const TextEncoder& encoder, const at::Tensor& texts, const at::Tensor& domain,
                               const Pass& pass, Output& out) {
    const int64_t n = texts.size(0) * 2, t = texts.size(2);
    RouterInputs known;
    if (domain.defined()) tell_domain(known, domain.repeat_interleave(2 * t), encoder.options().experts());
    const std::vector<int64_t> lengths(static_cast<size_t>(n), t);
    auto answer = encoder.forward({texts.reshape({-1}), lengths}, pass, known);
    for (auto& plan : answer.plans) out.plans.push_back(std::move(plan));
    return answer.vector.view({texts.size(0), 2, -1});
  }

  at::Tensor by_domain(const at::Tensor& texts, const at::Tensor& domain, const Pass& pass,
                       Output& out) const {
    GW_CHECK(domain.dim() == 1 && domain.size(0) == texts.size(0) && domain.scalar_type() == at::kLong,
             "networks/sentence_encoder: expected a domain [{}] int64 of each pair, got {} values",
             texts.size(0), domain.numel());
    if (encoders_.size() == 1) return vectors_of(*encoders_.front(), texts, domain, pass, out);
    std::vector<at::Tensor> rows, vectors;
    for (size_t d = 0; d < encoders_.size(); ++d) {
      const auto own = domain.eq(static_cast<int64_t>(d)).nonzero().squeeze(1);
      if (own.size(0) == 0) continue;
      rows.push_back(own);
      vectors.push_back(vectors_of(*encoders_[d], texts.index_select(0, own), {}, pass, out));
    }
    const auto order = rows.empty() ? at::empty({0}, at::kLong) : at::cat(rows);
    GW_CHECK(order.size(0) == texts.size(0) && order.size(0) > 0,
             "networks/sentence_encoder: expected pairs of domains in [0, {}), got others or none",
             encoders_.size());
    const auto place = at::empty_like(order).scatter_(0, order, at::arange(order.size(0), at::kLong));
    return at::cat(vectors).index_select(0, place);
  }

  Context context_;
  std::string similarity_;
  std::vector<std::shared_ptr<TextEncoder>> encoders_;
  at::Tensor log_factor_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Model, gw::SentenceEncoder);
