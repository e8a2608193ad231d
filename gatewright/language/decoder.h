#pragma once
// Decoder-only language models of mixtures.
#include <optional>

#include "gatewright/language/layer_stack.h"

namespace gw::inline language {

/// Tokens in, the next token's logits out.
/// Shapes: ids [N] int64 of sequences that lie one after the other, `lengths` tokens each.
/// Errors: ValueError for ids outside the vocabulary, lengths that do not add up, another number of states.
/// Source: Vaswani et al. 2017, arXiv 1706.03762, in the form of Touvron et al. 2023, arXiv 2302.13971; the
///         families under gatewright/language/families name theirs.
class Decoder : public LayerStack {
 public:
  explicit Decoder(const DecoderOptions& options);

  using Tokens = TextTokens;
  struct Answer {
    at::Tensor logits;  ///< [N, vocabulary], or [sequences, vocabulary]; f32 (f64 in an f64 model)
    std::vector<SitedPlan> plans;
  };
  /// `source`: what an encoder read, for decoders beside one (gatewright/language/encoder_decoder.h).
  Answer forward(const Tokens& tokens, const Pass& pass = {}, const SourceRows* source = nullptr);
  /// [N, width] of ids [N].
  at::Tensor embedded(const at::Tensor& id) const;
  /// The head in codes, for inference; embeddings that it shares stay beside it.
  void hold_head(const std::string& weights, int64_t group);
  /// Embeddings, and the head where it shares them, from the blocks of a file, which stay mapped for the
  /// former; the parameter is empty then. Errors: as ops::dense_coded(); ValueError for other sizes.
  void keep_embedding(const ops::CodedMatrix& blocks);
  /// Of all weights, codes and scales among them.
  int64_t bytes() const;

 private:
  at::Tensor embedding_;
  std::shared_ptr<Projection> head_;
  std::optional<ops::DenseWeight> held_head_;  ///< of tied embeddings
  ops::CodedMatrix kept_embedding_;            ///< blocks of a file instead of embedding_
};

}  // namespace gw::inline language
