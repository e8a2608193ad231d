#pragma once
// Stacks of attention and perceptrons, as one set of options.
#include <string>
#include <vector>

#include "gatewright/language/blocks/mixed_attention.h"

namespace gw::inline language {

/// What every published decoder of this kind is made of; encoders are made of the same. A layer's perceptron
/// is a mixture (`mixture`), or dense with `hidden` values in the layers that `dense_first`, `every` and
/// `dense_layers` keep dense.
struct DecoderOptions : OptionSet {
  int64_t vocabulary = 0, width = 64, depth = 2, heads = 4, key_heads = 0, head_width = 0, hidden = 0;
  std::string activation = "silu";
  bool gated = true, hidden_bias = false;
  OptionTable mixture;
  int64_t dense_first = 0, every = 1;
  std::vector<double> dense_layers;
  bool centred_norm = false, norm_after = false;
  double norm_epsilon = 1e-6, last_epsilon = 0;
  bool query_bias = false, output_bias = false, sinks = false;
  std::string query_norm = "none";
  int64_t latent = 0, query_latent = 0, still_width = 0, turned_width = 0, value_width = 0;
  double clip = 0;
  int64_t window = 0, window_every = 1;
  std::string positions = "rotary";
  int64_t relative_buckets = 32, relative_farthest = 128;
  Nested<AttentionExperts> attention_experts;
  OptionTable adapters;
  Nested<RotaryOptions> rotary;
  double embedding_scale = 1, attention_scale = 0, residual_scale = 1, logit_divisor = 1;
  double embedding_deviation = 1, dropout = 0;
  bool tied = false, head_bias = false;
  int64_t context = 0;
  int64_t seed = 0;
  // Not options:
  bool drawn = true;        ///< false leaves the weights to a checkpoint
  bool both_ways = false;   ///< tokens see what comes after them: an encoder
  bool crossed = false;     ///< every layer looks at a source: a decoder beside an encoder
  int64_t first_place = 0;  ///< of a text's first token, for sinusoidal positions
  std::string site;         ///< before the names of the layers' decisions
  void fields(OptionVisitor& v) override;
  bool routed(int64_t layer) const;
  /// The bank of a dense perceptron: of one expert, or of copies of it.
  PartChoice perceptron() const;
  /// Keys and values that a token leaves in all layers.
  int64_t remembered() const;
  /// Experts of a layer that serve a token, of its perceptron and of its attention.
  int64_t chosen() const;
  int64_t chosen_heads() const;
  /// Whether anything chooses among several: a perceptron's experts, those of attention, adapters.
  bool chooses() const;
  int64_t experts() const { return mixture.empty() ? 1 : mixture.json().value("experts", int64_t{1}); }
};

}  // namespace gw::inline language
