#include "gatewright/language/decoder.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {

Decoder::Decoder(const DecoderOptions& given) : LayerStack("Decoder", given, Empty{}) {
  const auto& o = options();
  const auto rng = stream(o);
  embedding_ = register_parameter(
      "embedding", o.drawn
                       ? ops::normal(rng.fork("embedding"), {o.vocabulary, o.width}, 0, o.embedding_deviation)
                       : at::empty({o.vocabulary, o.width}));
  fill();
  if (!o.tied)
    head_ = register_module(
        "head", std::make_shared<Projection>(o.width, o.vocabulary, o.head_bias, rng.fork("head"), o.drawn));
  if (!o.adapters.empty()) adapt();
}

at::Tensor Decoder::embedded(const at::Tensor& id) const {
  const auto x =
      kept_embedding_.defined() ? ops::block_rows(kept_embedding_, id) : at::embedding(embedding_, id);
  return options().embedding_scale == 1 ? x : x * options().embedding_scale;
}

Decoder::Answer Decoder::forward(const Tokens& tokens, const Pass& pass, const SourceRows* source) {
  auto rows = rows_of(tokens);
  GW_CHECK((source != nullptr) == options().crossed,
           "decoder: expected a source where its layers look at one and none elsewhere, got {}",
           source == nullptr ? "none" : "one");
  rows.source = source;
  Answer answer;
  RouterInputs inputs;
  inputs.token_id = tokens.id;
  const auto x = through(embedded(tokens.id), rows, inputs, pass, answer.plans, tokens.last_only);
  const auto logits = head_ != nullptr ? head_->forward(x)
                      : held_head_     ? ops::dense(x, *held_head_)
                                       : projected(x, embedding_, {});
  answer.logits = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  if (options().logit_divisor != 1) answer.logits = answer.logits / options().logit_divisor;
  return answer;
}

void Decoder::hold_head(const std::string& weights, int64_t group) {
  const int64_t bits = weights == "int4" ? 4 : 8;
  if (head_ != nullptr)
    head_->hold(bits, group);
  else
    held_head_ = ops::dense_quantised(embedding_, {}, bits, group);
}

void Decoder::keep_embedding(const ops::CodedMatrix& blocks) {
  GW_CHECK(embedding_.sizes().equals({blocks.out, blocks.in()}),
           "decoder: expected blocks of {} embeddings of {} values, got {} and {}", embedding_.size(0),
           embedding_.size(1), blocks.out, blocks.in());
  if (options().tied) held_head_ = ops::dense_coded(blocks, {});
  kept_embedding_ = blocks;
  embedding_.set_data(at::empty({0}, embedding_.options()));
}

int64_t Decoder::bytes() const {
  const int64_t rows = kept_embedding_.defined() ? static_cast<int64_t>(kept_embedding_.codes.nbytes()) : 0;
  return weight_bytes(*this) + (held_head_ ? held_head_->bytes() : 0) + rows;
}

}  // namespace gw::inline language
