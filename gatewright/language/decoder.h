#pragma once
// Decoder-only language models of mixtures, as one set of options.
#include <memory>
#include <string>
#include <vector>

#include "gatewright/language/blocks/attention.h"
#include "gatewright/language/blocks/latent_attention.h"
#include "gatewright/language/blocks/mixed_attention.h"
#include "gatewright/mixture/mixture.h"

namespace gw::inline language {

/// What every published decoder of this kind is made of. A layer's perceptron is a mixture (`mixture`), or
/// dense with `hidden` values in the layers that `dense_first`, `every` and `dense_layers` keep dense.
struct DecoderOptions : OptionSet {
  int64_t vocabulary = 0, width = 64, depth = 2, heads = 4, key_heads = 0, head_width = 0, hidden = 0;
  std::string activation = "silu";
  bool hidden_bias = false;
  OptionTable mixture;
  int64_t dense_first = 0, every = 1;
  std::vector<double> dense_layers;
  bool centred_norm = false;
  double norm_epsilon = 1e-6, last_epsilon = 0;
  bool query_bias = false, output_bias = false, sinks = false;
  std::string query_norm = "none";
  int64_t latent = 0, query_latent = 0, still_width = 0, turned_width = 0, value_width = 0;
  double clip = 0;
  int64_t window = 0, window_every = 1;
  Nested<AttentionExperts> attention_experts;
  Nested<RotaryOptions> rotary;
  double embedding_scale = 1, attention_scale = 0, residual_scale = 1, logit_divisor = 1;
  bool tied = false, head_bias = false;
  int64_t context = 0;
  int64_t seed = 0;
  bool drawn = true;  ///< not an option: false leaves the weights to a checkpoint
  void fields(OptionVisitor& v) override;
  bool routed(int64_t layer) const;
  /// Keys and values that a token leaves in all layers.
  int64_t remembered() const;
  /// Experts of a layer that serve a token, of its perceptron and of its attention.
  int64_t chosen() const;
  int64_t chosen_heads() const;
  int64_t experts() const { return mixture.empty() ? 1 : mixture.json().value("experts", int64_t{1}); }
};

/// x + attention(norm(x)), then x + perceptron(norm(x)), each term times residual_scale.
class DecoderLayer : public torch::nn::Module {
 public:
  DecoderLayer(const DecoderOptions& options, int64_t index);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, RouterInputs& inputs, const Pass& pass,
                     std::vector<SitedPlan>& plans);
  /// All matrices in codes, for inference: weights int8 or int4 (gatewright/experts/held_ffn.h).
  void hold(const std::string& weights, int64_t group);
  const std::shared_ptr<Mixture>& mixture() const { return mixture_; }
  AttentionBlock& attention() const { return *attention_; }
  const Rotary& rotary() const { return attention_->rotary(); }

 private:
  at::Tensor perceptron(const at::Tensor& x, RouterInputs& inputs, const Pass& pass,
                        std::vector<SitedPlan>& plans);

  int64_t index_;
  double residual_scale_;
  PartChoice bank_;
  Bank::Context bank_context_;
  std::shared_ptr<TokenNorm> attention_norm_, norm_;
  std::shared_ptr<AttentionBlock> attention_;
  std::shared_ptr<Mixture> mixture_;
  std::shared_ptr<Bank> dense_;
};

/// Tokens in, the next token's logits out.
/// Shapes: ids [N] int64 of sequences that lie one after the other, `lengths` tokens each.
/// Errors: ValueError for ids outside the vocabulary, lengths that do not add up, another number of states.
/// Source: Vaswani et al. 2017, arXiv 1706.03762, in the form of Touvron et al. 2023, arXiv 2302.13971; the
///         families under gatewright/language/families name theirs.
class Decoder : public torch::nn::Module {
 public:
  explicit Decoder(const DecoderOptions& options);

  struct Tokens {
    at::Tensor id;                           ///< [N] int64
    std::vector<int64_t> lengths;            ///< of each sequence in this pass
    std::vector<DecoderState*> states = {};  ///< texts that go on, one for each sequence; empty: none
    bool last_only = false;                  ///< logits of the last token of each sequence alone
  };
  struct Answer {
    at::Tensor logits;  ///< [N, vocabulary], or [sequences, vocabulary]; f32 (f64 in an f64 model)
    std::vector<SitedPlan> plans;
  };
  Answer forward(const Tokens& tokens, const Pass& pass = {});
  /// The head in codes, for inference; embeddings that it shares stay beside it.
  void hold_head(const std::string& weights, int64_t group);
  /// Of all weights, codes and scales among them.
  int64_t bytes() const;
  /// After an optimiser step, as Mixture::end_step.
  void end_step();
  const DecoderOptions& options() const { return options_; }
  const std::vector<std::shared_ptr<DecoderLayer>>& layers() const { return layers_; }

 private:
  SequenceRows rows_of(const Tokens& tokens) const;

  DecoderOptions options_;
  at::Tensor embedding_;
  std::vector<std::shared_ptr<DecoderLayer>> layers_;
  std::shared_ptr<TokenNorm> norm_;
  std::shared_ptr<Projection> head_;
  std::optional<ops::DenseWeight> held_head_;  ///< of tied embeddings
};

}  // namespace gw::inline language
