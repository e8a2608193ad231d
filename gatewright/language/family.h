#pragma once
// Published families of language models: what their config.json means and what their tensors are called.
#include "gatewright/language/checkpoint/binding.h"
#include "gatewright/language/checkpoint/config.h"
#include "gatewright/language/decoder.h"

namespace gw::inline language {

/// Catalogue `gatewright/language/families/`, by the `model_type` of config.json.
class LanguageFamily {
 public:
  static constexpr const char* kKind = "language_families";
  struct Context {};
  virtual ~LanguageFamily() = default;
  /// Errors: ValueError naming the key.
  virtual DecoderOptions options(const ModelConfig& config) const = 0;
  /// Where the parameters of a layer come from; embeddings, last norm and head are all families' alike.
  virtual std::vector<Binding> layer(const DecoderOptions& options, int64_t index) const = 0;
  /// Prefixes and suffixes of tensors that this model does not need.
  virtual std::vector<std::string> ignored(const DecoderOptions&) const { return {".rotary_emb.inv_freq"}; }
};

/// What nearly all of them share: sizes, norms, attention with shared keys.
DecoderOptions decoder_options(const ModelConfig& config);
/// The number of experts, under whichever name the config has it. Errors: ValueError naming the first.
int64_t experts_of(const ModelConfig& config);
/// Options of an mlp bank that is a SwiGLU without biases.
Json gated_bank(int64_t hidden, const std::string& activation);

/// The options of a mixture: as many experts as the config has, of which `policy` chooses num_experts_per_tok
/// (`usual` where the config does not say).
Json family_mixture_of(const ModelConfig& config, Json policy, int64_t usual, const Json& bank);
/// policy softmax_top_k, renormalised where norm_topk_prob says so.
Json softmax_policy(const ModelConfig& config);

/// The same for attention by way of a narrow vector, whose experts stand beside shared ones (DeepSeek): the
/// mixture with this policy.
DecoderOptions latent_options(const ModelConfig& config, Json policy);

/// A part of the catalogue. Errors: ValueError with the near miss.
std::shared_ptr<LanguageFamily> make_family(const std::string& name);

/// Bindings under the names that nearly all of them use.
class LayerNames {
 public:
  LayerNames(const DecoderOptions& options, int64_t index);
  /// "layer{i}." + own from "model.layers.{i}." + theirs, as it is.
  LayerNames& plain(const std::string& own, const std::string& theirs);
  LayerNames& norms();
  LayerNames& attention();
  LayerNames& latent_attention();
  /// One expert that sees every token, as its own block. `module`: "mlp.shared_experts", say.
  LayerNames& shared(const std::string& module);
  LayerNames& dense(const std::string& module = "mlp");
  /// A routed bank from single experts, from stacks of gate and up, or from three stacks. `module`: spellings
  /// of the block, "mlp" say; gate, up, down: a single expert's tensors, "gate_proj" or "w1".
  LayerNames& experts(const std::vector<std::string>& modules, const std::string& gate, const std::string& up,
                      const std::string& down);
  /// Router and experts as "mlp.gate" and "mlp.experts.{e}.gate_proj" …, which most families have.
  LayerNames& mlp_mixture();
  LayerNames& router(const std::vector<std::string>& theirs);
  LayerNames& add(Binding binding);
  std::string theirs(const std::string& rest) const;
  std::vector<Binding> list() const { return bindings_; }

 private:
  const DecoderOptions& options_;
  int64_t index_;
  std::vector<Binding> bindings_;
};

}  // namespace gw::inline language
