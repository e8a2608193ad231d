#include <fmt/format.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/language/encoder_decoder_family.h"

namespace gw::inline language {
namespace {

/// T5 with one of E experts in some layers: relative positions, scores without a scale, no biases.
/// An expert has room for `expert_capacity` tokens of one text in a pass, so that a text that is written
/// token by token never meets the limit; what finds no room passes by the perceptron alone. While training
/// the 1 % jitter multiplies the scores, not the router's input.
class SwitchTransformers : public EncoderDecoderFamily {
 public:
  static constexpr const char* kSummary = "T5 with one expert of many for a token, of limited room";
  static constexpr const char* kSource =
      "Fedus et al. 2021, arXiv 2101.03961; Raffel et al. 2020, arXiv 1910.10683";
  struct Options : OptionSet {};
  SwitchTransformers(const Options&, const Context&) {}

  EncoderDecoderOptions options(const ModelConfig& c) const override {
    EncoderDecoderOptions all;
    auto &reads = all.encoder, &writes = all.decoder;
    reads = stack(c);
    reads.depth = c.integer("num_layers", {}, 1, 4096);
    writes = reads;
    writes.depth = c.integer("num_decoder_layers", reads.depth, 1, 4096);
    reads.dense_layers = dense_layers(reads.depth, c.integer("num_sparse_encoder_layers", 3, 0, 4096));
    writes.dense_layers = dense_layers(writes.depth, c.integer("num_sparse_decoder_layers", 3, 0, 4096));
    writes.tied = c.flag("tie_word_embeddings", true);
    all.apart = !writes.tied;
    if (writes.tied) writes.logit_divisor = std::sqrt(static_cast<double>(writes.width));
    all.start = c.integer("decoder_start_token_id", c.integer("pad_token_id", 0), 0, writes.vocabulary - 1);
    return all;
  }

  std::vector<Binding> bindings(const EncoderDecoderOptions& o) const override {
    auto all = outer(o, "");
    add_stack(all, "encoder", o.encoder), add_stack(all, "decoder", o.decoder);
    return all;
  }

  std::vector<std::string> ignored(const EncoderDecoderOptions& o) const override {
    auto names = outer_ignored(o, "");
    names.push_back(
        "EncDecAttention.relative_attention_bias.weight");  // of early files; nothing ever read it
    return names;
  }

 private:
  static DecoderOptions stack(const ModelConfig& c) {
    DecoderOptions o;
    o.vocabulary = c.integer("vocab_size", {}, 1, 1 << 24), o.width = c.integer("d_model", {}, 1, 1 << 20);
    o.heads = c.integer("num_heads", {}, 1, 4096), o.head_width = c.integer("d_kv", {}, 1, 1 << 16);
    o.hidden = c.integer("d_ff", {}, 1, 1 << 24), o.gated = false;
    o.activation = c.has("dense_act_fn") ? activation_named(c, "dense_act_fn") : "relu";
    o.norm_epsilon = c.real("layer_norm_epsilon", 1e-6);
    o.positions = "relative", o.attention_scale = 1, o.drawn = false;
    o.relative_buckets = c.integer("relative_attention_num_buckets", 32, 4, 1 << 20);
    o.relative_farthest = c.integer("relative_attention_max_distance", 128, 2, 1 << 20);
    const int64_t experts = c.integer("num_experts", {}, 1, 1 << 16);
    o.mixture = Json{{"experts", experts},
                     {"gate", {{"part", "linear"}, {"bias", c.flag("router_bias", false)}}},
                     {"policy",
                      {{"part", "switch_top1"},
                       {"capacity", c.integer("expert_capacity", 64, 1)},
                       {"room", "sequence"},
                       {"jitter", c.real("router_jitter_noise", 0.01)}}},
                     {"bank",
                      {{"part", "mlp"},
                       {"hidden", o.hidden},
                       {"activation", o.activation},
                       {"bias", false},
                       {"learn_activation", false}}}};
    return o;
  }

  /// Layer i has experts where i leaves 1 over layers / sparse ones, or where that is 1.
  static std::vector<double> dense_layers(int64_t depth, int64_t sparse) {
    const int64_t step = sparse > 0 ? depth / sparse : depth;
    std::vector<double> dense;
    for (int64_t i = 0; i < depth; ++i)
      if (step == 0 || (step != 1 && i % step != 1)) dense.push_back(static_cast<double>(i));
    return dense;
  }

  static void add_stack(std::vector<Binding>& all, const std::string& side, const DecoderOptions& o) {
    const auto plain = [&](const std::string& own, const std::string& theirs) {
      all.push_back({side + "." + own, {{Piece{side + "." + theirs}}}});
    };
    plain("norm.weight", "final_layer_norm.weight");
    plain("relative.weight", "block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    for (int64_t i = 0; i < o.depth; ++i) {
      const auto own = fmt::format("layer{}.", i), theirs = fmt::format("block.{}.layer.", i);
      const auto attention = [&](const std::string& name, const std::string& norm, const std::string& block,
                                 const std::string& module) {
        plain(own + norm + ".weight", theirs + block + ".layer_norm.weight");
        for (const auto& [ours, letter] : {std::pair{"query", "q"}, std::pair{"key", "k"},
                                           std::pair{"value", "v"}, std::pair{"output", "o"}})
          plain(fmt::format("{}{}.{}.weight", own, name, ours),
                fmt::format("{}{}.{}.{}.weight", theirs, block, module, letter));
      };
      attention("attention", "attention_norm", "0", "SelfAttention");
      if (side == "decoder") attention("cross", "cross_norm", "1", "EncDecAttention");
      const std::string last = side == "decoder" ? "2" : "1";
      plain(own + "norm.weight", theirs + last + ".layer_norm.weight");
      add_perceptron(all, side + "." + own, side + "." + theirs + last + ".mlp.", o, o.routed(i));
    }
  }

  static void add_perceptron(std::vector<Binding>& all, const std::string& own, const std::string& theirs,
                             const DecoderOptions& o, bool routed) {
    const int64_t experts = routed ? o.experts() : 0;
    add_bank_tensor(all, own, theirs, "w1", "wi.weight", {1, o.hidden, o.width}, experts);
    add_bank_tensor(all, own, theirs, "w2", "wo.weight", {1, o.width, o.hidden}, experts);
    if (routed) add_router(all, own, theirs, o);
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::EncoderDecoderFamily, gw::SwitchTransformers);
