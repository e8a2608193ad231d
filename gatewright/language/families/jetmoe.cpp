#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

constexpr double kLayerEpsilon =
    1e-6;  // of the layers' norms whatever the config says, as published code has it

/// Two of eight experts, of the perceptrons and of attention's queries and outputs; keys and values for all.
class JetMoe : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "two of eight experts, of perceptrons and of attention";
  static constexpr const char* kSource = "Shen et al. 2024, arXiv 2404.07413";
  struct Options : OptionSet {};
  JetMoe(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& given) const override {
    const auto c = usual(given);
    auto o = decoder_options(c);
    o.last_epsilon = o.norm_epsilon, o.norm_epsilon = kLayerEpsilon;
    o.tied = c.flag("tie_word_embeddings", true);
    const Json policy = {{"part", "top_k_softmax"}};
    o.mixture = family_mixture_of(c, policy, 2, gated_bank(o.hidden, o.activation));
    auto mixture = o.mixture.json();
    mixture["output_bias"] = true;
    o.mixture = mixture;
    o.attention_experts =
        Json{{"experts", mixture["experts"]}, {"policy", mixture["policy"]}, {"output_bias", true}};
    return o;
  }

  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().router({"mlp.router.layer.weight"});
    const auto part = [&](const char* own, const char* theirs, int64_t which, int64_t parts) {
      Piece piece{names.theirs(theirs)};
      piece.part = which, piece.parts = parts;
      names.add({own, {{piece}}});
    };
    part("mixture.bank.wg", "mlp.input_linear.weight", 0, 2),
        part("mixture.bank.w1", "mlp.input_linear.weight", 1, 2);
    names.plain("mixture.bank.w2", "mlp.output_linear.weight").plain("mixture.output_bias", "mlp.bias");
    const std::string attention = "self_attention.", experts = attention + "experts.";
    names.add({"attention.gate.weight", {{Piece{names.theirs(experts + "router.layer.weight")}}}, true});
    names.plain("attention.wq", experts + "input_linear.weight")
        .plain("attention.wo", experts + "output_linear.weight");
    names.plain("attention.bias", experts + "bias");
    part("attention.key.weight", "self_attention.kv_proj.weight", 0, 2);
    part("attention.value.weight", "self_attention.kv_proj.weight", 1, 2);
    return names.list();
  }

 private:
  /// Under the keys that other families have; the first publication called some of them otherwise.
  static ModelConfig usual(const ModelConfig& c) {
    auto json = c.json();
    const auto copy = [&](const char* to, const char* from) {
      if (!c.has(to) && c.has(from)) json[to] = c.json()[from];
    };
    copy("num_local_experts", "moe_num_experts"), copy("num_experts_per_tok", "moe_top_k");
    copy("intermediate_size", "ffn_hidden_size"), copy("hidden_act", "activation_function");
    json["num_attention_heads"] = json["num_key_value_heads"] = c.integer("num_key_value_heads", 16, 1, 4096);
    json["head_dim"] = c.integer("kv_channels", 128, 1, 1 << 16);
    return {json, c.where()};
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::JetMoe);
