#pragma once
// Layers one above the other: what decoders and encoders have in common.
#include <memory>
#include <string>
#include <vector>

#include "gatewright/language/blocks/adapted_perceptron.h"
#include "gatewright/language/blocks/attention.h"
#include "gatewright/language/blocks/cross_attention.h"
#include "gatewright/language/decoder_options.h"
#include "gatewright/mixture/mixture.h"

namespace gw::inline language {

/// x + attention(norm(x)), with a source x + cross(norm(x)), then x + perceptron(norm(x)), each term times
/// residual_scale, and while training with a share `dropout` of its values left out (Srivastava et al. 2014).
/// With norm_after norm(x + attention(x)) and so on: Vaswani et al. 2017, section 3.1. What its mixture draws
/// in a pass is its own: no other layer's.
class DecoderLayer : public torch::nn::Module {
 public:
  DecoderLayer(const DecoderOptions& options, int64_t index);
  at::Tensor forward(const at::Tensor& x, const SequenceRows& rows, RouterInputs& inputs, const Pass& pass,
                     std::vector<SitedPlan>& plans);
  /// All matrices in codes, for inference: weights int8 or int4 (gatewright/experts/held_ffn.h).
  void hold(const std::string& weights, int64_t group);
  /// Mixtures of adapters beside the matrices of attention and of a dense perceptron. Errors: ValueError for
  /// other attention, and for options that a mixture refuses.
  void adapt(const Json& adapters, const Rng& rng);
  void end_step();
  const std::shared_ptr<Mixture>& mixture() const { return mixture_; }
  AttentionBlock& attention() const { return *attention_; }
  /// Null without a source.
  const std::shared_ptr<CrossAttention>& cross() const { return cross_; }
  const Rotary& rotary() const { return attention_->rotary(); }

 private:
  at::Tensor perceptron(const at::Tensor& x, Decisions& decisions);
  /// x and what a part of the layer adds to it.
  at::Tensor added(const at::Tensor& x, const at::Tensor& more, const char* part, const Pass& pass) const;

  int64_t index_;
  std::string site_;
  double residual_scale_;
  bool norm_after_;
  double dropout_;
  PartChoice bank_;
  Bank::Context bank_context_;
  std::shared_ptr<TokenNorm> attention_norm_, cross_norm_, norm_;
  std::shared_ptr<AttentionBlock> attention_;
  std::shared_ptr<CrossAttention> cross_;
  std::shared_ptr<Mixture> mixture_;
  std::shared_ptr<Bank> dense_;
  std::shared_ptr<AdaptedPerceptron> adapted_;
};

/// Tokens of texts that lie one after the other.
struct TextTokens {
  at::Tensor id;                           ///< [N] int64
  std::vector<int64_t> lengths;            ///< of each sequence in this pass
  std::vector<DecoderState*> states = {};  ///< texts that go on, one for each sequence; empty: none
  bool last_only = false;                  ///< logits of the last token of each sequence alone
};

/// Layers, the norm after them (with norm_after in front of them), and the positions that they share.
class LayerStack : public torch::nn::Module {
 public:
  /// Parameters "layer0.…", "norm.…", with positions = relative "relative.weight", with learned ones
  /// "places". Errors: ValueError for options that do not go together.
  LayerStack(const std::string& name, const DecoderOptions& options);
  /// Where the tokens lie, with the angles of their places. Errors: ValueError for ids outside the
  /// vocabulary, lengths that do not add up, another number of states.
  SequenceRows rows_of(const TextTokens& tokens) const;
  /// x [N, width] through norm and layers: all tokens, or with `last` the last one of each text.
  at::Tensor through(const at::Tensor& x, const SequenceRows& rows, RouterInputs& inputs, const Pass& pass,
                     std::vector<SitedPlan>& plans, bool last = false) const;
  /// After an optimiser step, as Mixture::end_step.
  void end_step();
  const DecoderOptions& options() const { return options_; }
  const std::vector<std::shared_ptr<DecoderLayer>>& layers() const { return layers_; }

 protected:
  /// For those that register parameters of their own first: fill() then adds what the constructor above adds.
  struct Empty {};
  LayerStack(const std::string& name, const DecoderOptions& options, Empty);
  void fill();
  /// Holds still what is there, and puts adapters beside it.
  void adapt();
  static Rng stream(const DecoderOptions& options);

 private:
  /// Where each token stands in its text.
  void place(const TextTokens& tokens, SequenceRows& rows) const;
  /// The embeddings with what their places add.
  at::Tensor placed(const at::Tensor& x, const SequenceRows& rows) const;

  DecoderOptions options_;
  std::vector<std::shared_ptr<DecoderLayer>> layers_;
  std::shared_ptr<TokenNorm> norm_;
  std::shared_ptr<RelativeBias> relative_;
  at::Tensor places_;  ///< [context, width]
};

/// Of parameters, buffers and codes of a model with projections in it.
int64_t weight_bytes(const torch::nn::Module& model);

}  // namespace gw::inline language
