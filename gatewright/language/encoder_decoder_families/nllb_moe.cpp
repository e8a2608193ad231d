#include <fmt/format.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/encoder_decoder_family.h"

namespace gw::inline language {
namespace {

/// Translation between 200 languages: two of E experts in every n-th layer, whose answers are scaled by one
/// minus the share of rows that was masked in training (expert output masking).
/// Sines of places are added to the embeddings. Rooms are those of each text, where published code counts a
/// batch; with the published fraction of 1 no token is ever without room.
/// In transformers 5.24 experts are looked up by the mask instead of by the choice: a first choice runs
/// expert 1 and a second one expert 0, whatever the router says. Here the router's experts run, as published.
class NllbMoe : public EncoderDecoderFamily {
 public:
  static constexpr const char* kSummary = "translation, two of 128 experts in every fourth layer";
  static constexpr const char* kSource = "NLLB team 2022, arXiv 2207.04672";
  struct Options : OptionSet {};
  NllbMoe(const Options&, const Context&) {}

  EncoderDecoderOptions options(const ModelConfig& c) const override {
    EncoderDecoderOptions all;
    all.encoder = stack(c, "encoder"), all.decoder = stack(c, "decoder");
    all.decoder.tied = c.flag("tie_word_embeddings", true);
    all.apart = !all.decoder.tied;
    all.start = c.integer("decoder_start_token_id", 2, 0, all.decoder.vocabulary - 1);
    return all;
  }

  std::vector<Binding> bindings(const EncoderDecoderOptions& o) const override {
    auto all = outer(o, "model.");
    add_stack(all, "encoder", o.encoder), add_stack(all, "decoder", o.decoder);
    return all;
  }

  std::vector<std::string> ignored(const EncoderDecoderOptions& o) const override {
    auto names = outer_ignored(o, "model.");
    names.push_back("embed_positions.weights");
    return names;
  }

  Json config_of(const EncoderDecoderOptions& o) const override {
    const auto &reads = o.encoder, &writes = o.decoder;
    Json c{{"model_type", "nllb-moe"},
           {"architectures", {"NllbMoeForConditionalGeneration"}},
           {"is_encoder_decoder", true},
           {"vocab_size", writes.vocabulary},
           {"d_model", writes.width},
           {"activation_function", writes.activation},
           {"scale_embedding", writes.embedding_scale != 1},
           {"decoder_start_token_id", o.start},
           {"bos_token_id", 0},
           {"eos_token_id", 2},
           {"pad_token_id", writes.first_place - 1},
           {"max_position_embeddings", 1024},
           {"tie_word_embeddings", writes.tied},
           {"torch_dtype", "float32"}};
    for (const auto& [side, stack] : {std::pair{"encoder", &reads}, {"decoder", &writes}}) {
      const std::string name = side;
      c[name + "_layers"] = stack->depth, c[name + "_attention_heads"] = stack->heads;
      c[name + "_ffn_dim"] = stack->hidden > 0 ? stack->hidden : 4 * stack->width;
      c[name + "_sparse_step"] = stack->mixture.empty() ? 0 : stack->every;
    }
    say_mixture(reads, c), say_mixture(writes, c);
    const auto said = options(ModelConfig(c, "convert"));
    check_said("encoder", reads, said.encoder), check_said("decoder", writes, said.decoder);
    GW_CHECK(
        said.apart == o.apart,
        "convert: expected one table of embeddings for encoder, decoder and head (tied = true), got others");
    return c;
  }

 private:
  /// Router, room and masks. Errors: ValueError naming what nllb-moe has not.
  static void say_mixture(const DecoderOptions& o, Json& c) {
    c["num_experts"] = std::max<int64_t>(o.experts(), 2);
    if (o.mixture.empty()) return;
    const auto& given = o.mixture.json();
    const auto policy = part_choice("policy", given.value("policy", Json("softmax_top_k")));
    const auto bank = part_choice("bank", given.value("bank", Json("mlp")));
    const auto gate = part_choice("gate", given.value("gate", Json("linear")));
    only("mixture", given, {"experts", "gate", "policy", "bank", "balancers", "seed", "execution"});
    GW_CHECK(
        policy.name == "nllb_top2" && bank.name == "mlp" && gate.name == "linear",
        "convert: expected policies/nllb_top2, banks/mlp and gates/linear for nllb-moe, got {}, {} and {}",
        policy.name, bank.name, gate.name);
    only("policies/nllb_top2", policy.options,
         {"second", "evaluation_fraction", "expert_masking", "drop_order", "renormalise_when", "room"});
    only("banks/mlp", bank.options, {"hidden", "activation", "bias", "learn_activation", "recompute"});
    only("gates/linear", gate.options, {"bias", "init_scale"});
    const int64_t hidden = o.hidden > 0 ? o.hidden : 4 * o.width;
    GW_CHECK(bank.options.value("hidden", int64_t{0}) == hidden && bank.options.value("bias", false) &&
                 bank.options.value("activation", "") == o.activation &&
                 !bank.options.value("learn_activation", true),
             "convert: expected experts as the dense perceptrons ({} hidden values, {}, bias = true, "
             "learn_activation = false) for nllb-moe, got {}",
             hidden, o.activation, dump_json(bank.options));
    const auto& p = policy.options;
    c["router_bias"] = gate.options.value("bias", false);
    c["second_expert_policy"] = p.value("second", "sampling");
    c["moe_eval_capacity_token_fraction"] = p.value("evaluation_fraction", 0.25);
    c["moe_token_dropout"] = p.value("expert_masking", 0.0);
    c["batch_prioritized_routing"] = p.value("drop_order", "position") == "priority";
    c["normalize_router_prob_before_dropping"] = p.value("renormalise_when", "after_drop") == "before_drop";
  }

  static void only(const char* what, const Json& given, const std::vector<std::string>& known) {
    for (const auto& item : given.items())
      GW_CHECK(std::find(known.begin(), known.end(), item.key()) != known.end(),
               "convert: expected of {} what nllb-moe has, got \"{}\"; train without it", what, item.key());
  }

  static DecoderOptions stack(const ModelConfig& c, const std::string& side) {
    DecoderOptions o;
    o.vocabulary = c.integer("vocab_size", {}, 1, 1 << 24), o.width = c.integer("d_model", {}, 4, 1 << 20);
    o.depth = c.integer(side + "_layers", {}, 1, 4096);
    o.heads = c.integer(side + "_attention_heads", {}, 1, 4096), o.head_width = o.width / o.heads;
    o.hidden = c.integer(side + "_ffn_dim", {}, 1, 1 << 24), o.gated = false, o.hidden_bias = true;
    o.activation = c.has("activation_function") ? activation_named(c, "activation_function") : "relu";
    o.centred_norm = o.query_bias = o.output_bias = true;
    o.norm_epsilon = 1e-5, o.positions = "sinusoidal", o.drawn = false;
    o.first_place = c.integer("pad_token_id", 1, 0, 1 << 24) + 1;  // as fairseq counts
    if (c.flag("scale_embedding", true)) o.embedding_scale = std::sqrt(static_cast<double>(o.width));
    const int64_t step = c.integer(side + "_sparse_step", 4, 0, 4096);
    o.every = step > 0 ? step : o.depth + 1;
    const int64_t experts = c.integer("num_experts", {}, 2, 1 << 16);
    o.mixture = Json{{"experts", experts},
                     {"gate", {{"part", "linear"}, {"bias", c.flag("router_bias", false)}}},
                     {"policy", policy_of(c)},
                     {"bank",
                      {{"part", "mlp"},
                       {"hidden", o.hidden},
                       {"activation", o.activation},
                       {"bias", true},
                       {"learn_activation", false}}}};
    return o;
  }

  static Json policy_of(const ModelConfig& c) {
    Json table = {{"part", "nllb_top2"},
                  {"second", c.text("second_expert_policy", "all")},
                  {"room", "sequence"},
                  {"expert_masking", c.real("moe_token_dropout", 0.2)}};
    const bool before = c.flag("normalize_router_prob_before_dropping", false);
    table["renormalise_when"] = before ? "before_drop" : "after_drop";
    table["drop_order"] = c.flag("batch_prioritized_routing", false) ? "priority" : "position";
    const double fraction = c.real("moe_eval_capacity_token_fraction", 1.0);
    if (fraction > 0)
      table["evaluation_fraction"] = fraction;
    else
      table["capacity"] = c.integer("expert_capacity", 64, 1);
    return table;
  }

  static void add_stack(std::vector<Binding>& all, const std::string& side, const DecoderOptions& o) {
    const auto both = [&](const std::string& own, const std::string& theirs) {
      for (const char* part : {"weight", "bias"})
        all.push_back({fmt::format("{}.{}.{}", side, own, part),
                       {{Piece{fmt::format("model.{}.{}.{}", side, theirs, part)}}}});
    };
    both("norm", "layer_norm");
    for (int64_t i = 0; i < o.depth; ++i) {
      const auto own = fmt::format("layer{}.", i), theirs = fmt::format("layers.{}.", i);
      const auto attention = [&](const std::string& name, const std::string& block) {
        both(own + name + "_norm", theirs + block + "_layer_norm");
        for (const auto& [ours, letter] :
             {std::pair{"query", "q"}, {"key", "k"}, {"value", "v"}, {"output", "out"}})
          both(fmt::format("{}{}.{}", own, name, ours), fmt::format("{}{}.{}_proj", theirs, block, letter));
      };
      attention("attention", "self_attn");
      if (side == "decoder") attention("cross", "cross_attention");
      both(own + "norm", theirs + "ff_layer_norm");
      add_perceptron(all, side + "." + own, "model." + side + "." + theirs + "ffn.", o, o.routed(i));
    }
  }

  static void add_perceptron(std::vector<Binding>& all, const std::string& own, const std::string& theirs,
                             const DecoderOptions& o, bool routed) {
    const auto tensor = [&](const char* name, const char* rest, const std::vector<int64_t>& shape) {
      add_bank_tensor(all, own, theirs, name, rest, shape, routed ? o.experts() : 0);
    };
    tensor("w1", "fc1.weight", {1, o.hidden, o.width}), tensor("b1", "fc1.bias", {1, o.hidden});
    tensor("w2", "fc2.weight", {1, o.width, o.hidden}), tensor("b2", "fc2.bias", {1, o.width});
    if (routed) add_router(all, own, theirs, o);
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::EncoderDecoderFamily, gw::NllbMoe);
