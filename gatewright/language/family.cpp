#include "gatewright/language/family.h"

#include <fmt/format.h>

#include "gatewright/base/registry.h"

namespace gw::inline language {

DecoderOptions decoder_options(const ModelConfig& c) {
  DecoderOptions o;
  o.vocabulary = c.integer("vocab_size", {}, 1, 1 << 24);
  o.width = c.integer("hidden_size", {}, 1, 1 << 20);
  o.depth = c.integer("num_hidden_layers", {}, 1, 4096);
  o.heads = c.integer("num_attention_heads", {}, 1, 4096);
  o.key_heads = c.integer("num_key_value_heads", o.heads, 1, 4096);
  o.head_width = c.integer("head_dim", o.width / o.heads, 1, 1 << 16);
  o.hidden = c.integer("intermediate_size", 4 * o.width, 1, 1 << 24);
  o.activation = activation_named(c, "hidden_act");
  o.norm_epsilon = c.real("rms_norm_eps", 1e-6);
  o.rotary = rotary_of(c);
  o.context = c.integer("max_position_embeddings", 0);
  o.tied = c.flag("tie_word_embeddings", false);
  o.drawn = false;
  return o;
}

int64_t experts_of(const ModelConfig& c) {
  for (const char* key : {"num_experts", "n_routed_experts"})
    if (c.has(key)) return c.integer(key, {}, 1, 1 << 16);
  return c.integer("num_local_experts", {}, 1, 1 << 16);
}

Json gated_bank(int64_t hidden, const std::string& activation) {
  return {{"part", "mlp"}, {"hidden", hidden},         {"glu", true}, {"activation", activation},
          {"bias", false}, {"learn_activation", false}};
}

Json family_mixture_of(const ModelConfig& c, Json policy, int64_t usual, const Json& bank) {
  const int64_t experts = experts_of(c);
  policy["k"] = c.integer("num_experts_per_tok", usual, 1, experts);
  return {{"experts", experts}, {"policy", policy}, {"bank", bank}};
}

Json softmax_policy(const ModelConfig& c) {
  return {{"part", "softmax_top_k"}, {"renormalise", c.flag("norm_topk_prob", false)}};
}

std::shared_ptr<LanguageFamily> make_family(const std::string& name) {
  return make_part<LanguageFamily>(name, Json::object(), {});
}

DecoderOptions latent_options(const ModelConfig& c, Json policy) {
  auto o = decoder_options(c);
  o.latent = c.integer("kv_lora_rank", {}, 1, 1 << 20),
  o.query_latent = c.integer("q_lora_rank", 0, 0, 1 << 20);
  o.still_width = c.integer("qk_nope_head_dim", {}, 1, 1 << 16);
  o.turned_width = c.integer("qk_rope_head_dim", {}, 2, 1 << 16);
  o.value_width = c.integer("v_head_dim", {}, 1, 1 << 16);
  o.query_bias = c.flag("attention_bias", false),
  o.dense_first = c.integer("first_k_dense_replace", 0, 0, 4096);
  auto rotary = rotary_of(c);
  rotary["interleaved"] = c.flag("rope_interleave", true);
  o.rotary = rotary;
  const int64_t experts = experts_of(c), each = c.integer("moe_intermediate_size", {}, 1, 1 << 24);
  const int64_t shared = c.integer("n_shared_experts", 0, 0, 1024);
  policy["k"] = c.integer("num_experts_per_tok", {}, 1, experts),
  policy["scale"] = c.real("routed_scaling_factor", 1.0);
  Json mixture = {{"experts", experts}, {"policy", policy}, {"bank", gated_bank(each, o.activation)}};
  if (shared > 0)
    mixture["shared_experts"] = 1, mixture["shared_bank"] = gated_bank(each * shared, o.activation);
  o.mixture = mixture;
  return o;
}

LayerNames::LayerNames(const DecoderOptions& options, int64_t index) : options_(options), index_(index) {}

std::string LayerNames::theirs(const std::string& rest) const {
  return fmt::format("model.layers.{}.{}", index_, rest);
}

LayerNames& LayerNames::add(Binding binding) {
  binding.parameter = fmt::format("layer{}.{}", index_, binding.parameter);
  bindings_.push_back(std::move(binding));
  return *this;
}

LayerNames& LayerNames::plain(const std::string& own, const std::string& rest) {
  return add({own, {{Piece{theirs(rest)}}}});
}

LayerNames& LayerNames::norms() {
  for (const auto& [own, rest] :
       {std::pair{"attention_norm", "input_layernorm"}, std::pair{"norm", "post_attention_layernorm"}}) {
    plain(fmt::format("{}.weight", own), fmt::format("{}.weight", rest));
    if (options_.centred_norm) plain(fmt::format("{}.bias", own), fmt::format("{}.bias", rest));
  }
  return *this;
}

LayerNames& LayerNames::attention() {
  const auto both = [&](const std::string& own, const std::string& rest, bool bias) {
    plain("attention." + own + ".weight", "self_attn." + rest + ".weight");
    if (bias) plain("attention." + own + ".bias", "self_attn." + rest + ".bias");
  };
  both("query", "q_proj", options_.query_bias), both("key", "k_proj", options_.query_bias);
  both("value", "v_proj", options_.query_bias), both("output", "o_proj", options_.output_bias);
  if (options_.query_norm != "none") both("query_norm", "q_norm", false), both("key_norm", "k_norm", false);
  if (options_.sinks) plain("attention.sinks", "self_attn.sinks");
  return *this;
}

LayerNames& LayerNames::latent_attention() {
  const auto one = [&](const std::string& own, const std::string& rest, bool bias) {
    plain("attention." + own + ".weight", "self_attn." + rest + ".weight");
    if (bias) plain("attention." + own + ".bias", "self_attn." + rest + ".bias");
  };
  if (options_.query_latent > 0) {
    one("query_down", "q_a_proj", options_.query_bias), one("query_norm", "q_a_layernorm", false);
    one("query", "q_b_proj", false);
  } else {
    one("query", "q_proj", false);
  }
  one("key_down", "kv_a_proj_with_mqa", options_.query_bias), one("key_norm", "kv_a_layernorm", false);
  one("key_up", "kv_b_proj", false), one("output", "o_proj", options_.query_bias);
  return *this;
}

LayerNames& LayerNames::shared(const std::string& module) {
  const int64_t h = options_.mixture.json()["shared_bank"]["hidden"], d = options_.width;
  const auto one = [&](const char* own, const char* rest, int64_t out, int64_t in) {
    Piece piece{theirs(module + "." + rest + ".weight")};
    piece.shape = {1, out, in};
    add({std::string("mixture.shared.") + own, {{piece}}});
  };
  one("w1", "up_proj", h, d), one("w2", "down_proj", d, h), one("wg", "gate_proj", h, d);
  return *this;
}

LayerNames& LayerNames::dense(const std::string& module) {
  // One expert's stack: the same values under one more dimension.
  const auto one = [&](const std::string& own, const std::string& rest, int64_t out, int64_t in) {
    Piece piece{theirs(module + "." + rest + ".weight")};
    piece.shape = {1, out, in};
    add({"dense." + own, {{piece}}});
  };
  const int64_t h = options_.hidden, d = options_.width;
  one("w1", "up_proj", h, d), one("w2", "down_proj", d, h), one("wg", "gate_proj", h, d);
  return *this;
}

LayerNames& LayerNames::experts(const std::vector<std::string>& modules, const std::string& gate,
                                const std::string& up, const std::string& down) {
  const auto ways = [&](const std::string& single, const std::string& stack, const Piece& fused) {
    std::vector<std::vector<Piece>> all;
    for (const auto& module : modules) {
      std::vector<Piece> each;
      for (int64_t e = 0; e < options_.experts(); ++e) {
        Piece piece{theirs(fmt::format("{}.experts.{}.{}.weight", module, e, single))};
        piece.expert = e;
        each.push_back(piece);
      }
      Piece whole = fused;
      whole.tensor = theirs(module + ".experts." + fused.tensor);
      all.insert(all.end(), {each, {whole}, {Piece{theirs(module + ".experts." + stack + ".weight")}}});
    }
    return all;
  };
  Piece gates{"gate_up_proj"}, ups{"gate_up_proj"};
  gates.parts = ups.parts = 2, ups.part = 1;
  add({"mixture.bank.wg", ways(gate, "gate_proj", gates)});
  add({"mixture.bank.w1", ways(up, "up_proj", ups)});
  return add({"mixture.bank.w2", ways(down, "down_proj", Piece{"down_proj"})});
}

LayerNames& LayerNames::mlp_mixture() {
  return router({"mlp.gate.weight"}).experts({"mlp"}, "gate_proj", "up_proj", "down_proj");
}

LayerNames& LayerNames::router(const std::vector<std::string>& names) {
  Binding binding{"mixture.gate.weight", {}, true};
  for (const auto& name : names) binding.ways.push_back({Piece{theirs(name)}});
  return add(binding);
}

}  // namespace gw::inline language
