#pragma once
// Texts to vectors: a stack of layers in which every token sees all of its text.
#include <memory>
#include <string>
#include <vector>

#include "gatewright/language/layer_stack.h"

namespace gw::inline language {

/// Math:   x = embedding(token) (+ places) (+ kind_0), through the layers; a text's vector is the mean over
///         its tokens.
/// Shapes: ids [N] int64 of texts that lie one after the other → [texts, width].
/// Errors: as LayerStack.
/// Source: Vaswani et al. 2017, arXiv 1706.03762; Devlin et al. 2019, arXiv 1810.04805; the mean: Reimers and
///         Gurevych 2019, arXiv 1908.10084. All tokens are of the first kind: one text at a time, no pairs.
class TextEncoder : public LayerStack {
 public:
  /// `kinds`: vectors for kinds of tokens (BERT's token types), 0: none. both_ways is set here.
  explicit TextEncoder(const DecoderOptions& options, int64_t kinds = 0);

  struct Answer {
    at::Tensor vector;  ///< [texts, width]
    std::vector<SitedPlan> plans;
  };
  /// `known`: what routers are told of each token beside its id and its text, "task" and "route" say.
  Answer forward(const TextTokens& tokens, const Pass& pass = {}, const RouterInputs& known = {}) const;
  int64_t kinds() const { return kind_.defined() ? kind_.size(0) : 0; }

 private:
  at::Tensor embedding_, kind_;
};

/// A folder of BERT's form as Hugging Face writes it: model_type "bert", safetensors, names with or without
/// "bert." before them (all-MiniLM-L6-v2 …). Pooler and heads are not read. Weights are copied, f32, and
/// learn.
/// Errors: IoError; ValueError for another model_type, places that are not absolute, and what
///         gatewright/language/checkpoint/binding.h refuses.
std::shared_ptr<TextEncoder> load_text_encoder(const std::string& path);

/// The name that a parameter of a mixture's experts has where one dense perceptron stands in its place.
std::string dense_name(const std::string& name);
/// The parameters of `from`, and where `to` has several experts in place of a perceptron that perceptron in
/// each of them: `to` then answers as `from` wherever a token's weights add up to one, whatever its routers
/// say. They stay as they are. Errors: ValueError naming a parameter that `from` has not, or in another
/// shape. Source: Komatsuzaki et al. 2022, arXiv 2212.05055.
void take_copies(TextEncoder& to, const TextEncoder& from);

}  // namespace gw::inline language
