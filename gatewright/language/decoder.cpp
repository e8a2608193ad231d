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
  const auto x = at::embedding(embedding_, id);
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

int64_t Decoder::bytes() const { return weight_bytes(*this) + (held_head_ ? held_head_->bytes() : 0); }

}  // namespace gw::inline language
