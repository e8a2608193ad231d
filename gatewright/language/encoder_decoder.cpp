#include "gatewright/language/encoder_decoder.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {

EncoderDecoder::EncoderDecoder(const EncoderDecoderOptions& given)
    : torch::nn::Module("EncoderDecoder"), options_(given) {
  auto &reads = options_.encoder, &writes = options_.decoder;
  GW_CHECK(reads.width == writes.width && reads.vocabulary == writes.vocabulary,
           "encoder and decoder: expected one width and vocabulary, got {} and {}, {} and {}", reads.width,
           writes.width, reads.vocabulary, writes.vocabulary);
  GW_CHECK(options_.start >= 0 && options_.start < writes.vocabulary,
           "encoder and decoder: expected a first token in [0, {}), got {}", writes.vocabulary,
           options_.start);
  reads.both_ways = true, reads.site = "encoder.";
  writes.crossed = true, writes.site = "decoder.";
  const Rng rng(static_cast<uint64_t>(writes.seed));
  reads.seed = static_cast<int64_t>(rng.fork("encoder").key() >> 1);
  decoder_ = register_module("decoder", std::make_shared<Decoder>(writes));
  encoder_ = register_module("encoder", std::make_shared<LayerStack>("Encoder", reads));
  if (options_.apart) {
    const auto shape = {reads.vocabulary, reads.width};
    embedding_ = register_parameter(
        "encoder_embedding", reads.drawn
                                 ? ops::normal(rng.fork("embedding"), shape, 0, reads.embedding_deviation)
                                 : at::empty(shape));
  }
}

EncoderDecoder::Source EncoderDecoder::encode(const at::Tensor& id, const std::vector<int64_t>& lengths,
                                              const Pass& pass) const {
  Source source;
  RouterInputs inputs;
  inputs.token_id = id;
  const auto rows = encoder_->rows_of({id, lengths});
  auto x = options_.apart ? at::embedding(embedding_, id) : decoder_->embedded(id);
  if (options_.apart && options_.encoder.embedding_scale != 1) x = x * options_.encoder.embedding_scale;
  source.memory = encoder_->through(x, rows, inputs, pass, source.plans);
  source.rows.lengths = lengths;
  for (const auto& layer : decoder_->layers())
    source.rows.layers.push_back(layer->cross()->keys(source.memory));
  return source;
}

Decoder::Answer EncoderDecoder::forward(const TextTokens& tokens, const Source& source, const Pass& pass) {
  return decoder_->forward(tokens, pass, &source.rows);
}

void EncoderDecoder::hold(const std::string& weights, int64_t group) {
  for (const auto& layer : encoder_->layers()) layer->hold(weights, group);
  for (const auto& layer : decoder_->layers()) layer->hold(weights, group);
  decoder_->hold_head("int8", 0);
}

int64_t EncoderDecoder::bytes() const {
  const int64_t own = embedding_.defined() ? static_cast<int64_t>(embedding_.nbytes()) : 0;
  return own + weight_bytes(*encoder_) + decoder_->bytes();
}

void EncoderDecoder::end_step() { encoder_->end_step(), decoder_->end_step(); }

}  // namespace gw::inline language
