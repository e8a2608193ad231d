#pragma once
// Language models that read one text and write another.
#include "gatewright/language/decoder.h"

namespace gw::inline language {

/// Two stacks of one width and vocabulary. What EncoderDecoder needs of them (who sees what, names of sites)
/// it sets itself.
struct EncoderDecoderOptions {
  DecoderOptions encoder, decoder;
  int64_t start = 0;   ///< the token that every written text begins with
  bool apart = false;  ///< the encoder has embeddings of its own
};

/// An encoder reads a source, each token of which sees all others; a decoder writes a text and looks at the
/// source in each layer. Embeddings are the same for both, unless they are `apart` ("encoder_embedding").
/// Sites: "encoder.layer1", "decoder.layer1" …
/// Errors: as Decoder; ValueError for stacks of different widths or vocabularies, another number of sources.
/// Source: Vaswani et al. 2017, arXiv 1706.03762; Raffel et al. 2020, arXiv 1910.10683.
class EncoderDecoder : public torch::nn::Module {
 public:
  explicit EncoderDecoder(const EncoderDecoderOptions& options);

  struct Source {
    SourceRows rows;               ///< keys and values, one set for each layer of the decoder
    std::vector<SitedPlan> plans;  ///< of the encoder
    at::Tensor memory;             ///< [M, width] what it made of the tokens
  };
  /// Sources that lie one after the other, ids [M] int64. Cost: a pass of the encoder, and the keys and
  /// values of all decoder layers, which stay in memory with the source.
  Source encode(const at::Tensor& id, const std::vector<int64_t>& lengths, const Pass& pass = {}) const;
  /// Logits of texts about these sources, one for each; as Decoder::forward.
  Decoder::Answer forward(const TextTokens& tokens, const Source& source, const Pass& pass = {});

  /// All matrices in codes, for inference: int8 or int4; the head in 8 bits in either case.
  void hold(const std::string& weights, int64_t group);
  int64_t bytes() const;
  void end_step();
  const EncoderDecoderOptions& options() const { return options_; }
  LayerStack& encoder() const { return *encoder_; }
  Decoder& decoder() const { return *decoder_; }

 private:
  EncoderDecoderOptions options_;
  at::Tensor embedding_;  ///< of the encoder, where it has its own
  std::shared_ptr<Decoder> decoder_;
  std::shared_ptr<LayerStack> encoder_;
};

}  // namespace gw::inline language
