#include "gatewright/language/decoder_options.h"

#include <algorithm>

namespace gw::inline language {

namespace {

void visit_attention(OptionVisitor& v, DecoderOptions& o) {
  v.flag("query_bias", o.query_bias, "biases of queries, keys and values");
  v.flag("output_bias", o.output_bias, "a bias after attention");
  v.flag("sinks", o.sinks, "a learned score without a value in each head's softmax");
  v.text("query_norm", o.query_norm, "norm of queries and keys", {"none", "head", "whole"});
  v.integer("latent", o.latent,
            "keys and values from one vector of this width (latent attention); 0: plain attention", 0,
            1 << 20);
  v.integer("query_latent", o.query_latent,
            "latent attention: queries from a vector of this width; 0: straight", 0, 1 << 20);
  v.integer("still_width", o.still_width, "latent attention: values of a head that are not rotated", 0,
            1 << 16);
  v.integer("turned_width", o.turned_width,
            "latent attention: values of a head that are, of keys one for all heads", 0, 1 << 16);
  v.integer("value_width", o.value_width, "latent attention: width of a head's answer", 0, 1 << 16);
  v.real("clip", o.clip, "bound of queries, keys and values; 0: none", 0, 1e30);
  v.table("attention_experts", o.attention_experts,
          "queries and answers by experts that share keys and values: experts, policy …");
  v.integer("window", o.window, "tokens that a query sees; 0: all", 0, int64_t{1} << 40);
  v.integer("window_every", o.window_every, "layers 0, n, 2·n … have the window", 1, 4096);
  v.text(
      "positions", o.positions,
      "queries and keys rotated by their place, a learned value of their distance on every score, or sines "
      "of the place or a learned vector for it (as many as context) added to the embeddings",
      {"rotary", "relative", "sinusoidal", "learned"});
  v.integer("relative_buckets", o.relative_buckets, "relative: values of a head, for ever wider distances", 4,
            1 << 20);
  v.integer("relative_farthest", o.relative_farthest,
            "relative: from this distance on all have the same value", 2, 1 << 20);
}

}  // namespace

void DecoderOptions::fields(OptionVisitor& v) {
  v.integer("vocabulary", vocabulary, "tokens that it knows; 0: as the data have", 0, 1 << 24);
  v.integer("width", width, "width D of a token", 1, 1 << 20);
  v.integer("depth", depth, "layers", 1, 4096);
  v.integer("heads", heads, "heads of queries", 1, 4096);
  v.integer("key_heads", key_heads, "heads of keys and values, a divisor of heads; 0: as many", 0, 4096);
  v.integer("head_width", head_width, "width of a head; 0: width / heads", 0, 1 << 16);
  v.integer("hidden", hidden, "hidden values of dense perceptrons; 0: four times the width", 0, 1 << 24);
  v.text("activation", activation, "of dense perceptrons: gatewright list activations");
  v.flag("gated", gated, "dense perceptrons multiply the activated product with a second one");
  v.flag("hidden_bias", hidden_bias, "biases in dense perceptrons");
  v.table("mixture", mixture, "options of the layers' mixtures but in, out and seed; empty: dense");
  v.integer("dense_first", dense_first, "layers at the start that stay dense", 0, 4096);
  v.integer("every", every, "layer i is a mixture where i + 1 is a multiple", 1, 4096);
  v.reals("dense_layers", dense_layers, "further layers that stay dense, by their index", 0, 4096);
  v.flag("centred_norm", centred_norm, "layer norms with a bias instead of root mean square norms");
  v.flag("norm_after", norm_after,
         "norms behind each sum of a layer and the embeddings, not before its parts and the head (BERT)");
  v.real("norm_epsilon", norm_epsilon, "ε of the norms", 0, 1);
  v.real("last_epsilon", last_epsilon, "of the norm before the head; 0: as the others", 0, 1);
  visit_attention(v, *this);
  v.table("adapters", adapters,
          "of a mixture of adapters beside every matrix of attention and dense perceptrons, which alone are "
          "trained: {experts = 4, gate = …, policy = …, bank = {part = \"lora\", rank = 2}}; empty: none");
  v.table("rotary", rotary, "rotary position embedding: base, interleaved, scaling …");
  v.real("embedding_scale", embedding_scale, "factor of the embeddings", 0, 1e6);
  v.real("embedding_deviation", embedding_deviation, "of the embeddings as they are drawn", 0, 1e6);
  v.real("dropout", dropout,
         "share of values left out while training: of what a layer's parts add, and of embeddings", 0, 0.95);
  v.real("attention_scale", attention_scale, "factor of the scores; 0: 1/sqrt(head_width)", 0, 1e6);
  v.real("residual_scale", residual_scale, "factor of what each half of a layer adds", 0, 1e6);
  v.real("logit_divisor", logit_divisor, "divisor of the logits", 1e-6, 1e6);
  v.flag("tied", tied, "the head's weights are the embeddings");
  v.flag("head_bias", head_bias, "a bias in the head");
  v.integer("context", context, "longest text that it was trained for; 0: not said", 0, int64_t{1} << 40);
  v.integer("seed", seed, "of the initial weights", 0, INT64_MAX);
}

int64_t DecoderOptions::remembered() const {
  if (latent > 0) return depth * heads * (still_width + turned_width + value_width);
  return depth * 2 * (key_heads > 0 ? key_heads : heads) * (head_width > 0 ? head_width : width / heads);
}

int64_t DecoderOptions::chosen() const {
  if (mixture.empty()) return 1;
  const auto policy = mixture.json().value("policy", Json::object());
  // Those of the sparse mixer, Switch and NLLB have no option.
  const int64_t fixed = policy.is_object() && policy.value("part", "") == "switch_top1" ? 1 : 2;
  return std::min(experts(), policy.is_object() ? policy.value("k", fixed) : fixed);
}

bool DecoderOptions::chooses() const {
  const bool adapted = !adapters.empty() && adapters.json().value("experts", int64_t{8}) > 1;
  return experts() > 1 || attention_experts->experts > 1 || adapted;
}

int64_t DecoderOptions::chosen_heads() const {
  const auto& all = *attention_experts;
  return all.experts == 0 ? 1 : std::min(all.experts, all.policy.options.value("k", int64_t{2}));
}

PartChoice DecoderOptions::perceptron() const {
  return PartChoice("mlp", {{"hidden", hidden > 0 ? hidden : 4 * width},
                            {"glu", gated},
                            {"activation", activation},
                            {"bias", hidden_bias},
                            {"learn_activation", false}});
}

bool DecoderOptions::routed(int64_t layer) const {
  if (mixture.empty() || layer < dense_first || (layer + 1) % every != 0) return false;
  return std::find(dense_layers.begin(), dense_layers.end(), static_cast<double>(layer)) ==
         dense_layers.end();
}

}  // namespace gw::inline language
