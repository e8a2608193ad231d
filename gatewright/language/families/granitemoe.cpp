#include <fmt/format.h>

#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Softmax over the chosen; factors of embeddings, scores, residual terms and logits.
class GraniteMoe : public LanguageFamily {
 public:
  static constexpr const char* kSummary =
      "eight of 32 or 40 experts, with factors all along the residual stream";
  static constexpr const char* kSource = "IBM 2024, Granite 3.0";
  struct Options : OptionSet {};
  GraniteMoe(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.query_bias = o.output_bias = c.flag("attention_bias", false);
    o.embedding_scale = c.real("embedding_multiplier", 1.0),
    o.attention_scale = c.real("attention_multiplier", 1.0);
    o.residual_scale = c.real("residual_multiplier", 1.0), o.logit_divisor = c.real("logits_scaling", 1.0);
    o.mixture = family_mixture_of(c, {{"part", "top_k_softmax"}}, 2, gated_bank(o.hidden, o.activation));
    return o;
  }

  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().attention();
    names.router(
        {"block_sparse_moe.router.layer.weight", "block_sparse_moe.router.weight", "mlp.gate.weight"});
    const auto stack = [&](const char* own, const char* old_name, const char* new_name, const char* gguf,
                           int64_t part, int64_t parts) {
      Binding binding{std::string("mixture.bank.") + own, {}};
      for (const auto& name : {std::string(old_name) + ".weight", std::string("experts.") + new_name}) {
        Piece piece{names.theirs("block_sparse_moe." + name)};
        piece.part = part, piece.parts = parts;
        binding.ways.push_back({piece});
      }
      binding.ways.push_back({Piece{names.theirs(fmt::format("mlp.experts.{}.weight", gguf))}});
      names.add(binding);
    };
    stack("wg", "input_linear", "gate_up_proj", "gate_proj", 0, 2);
    stack("w1", "input_linear", "gate_up_proj", "up_proj", 1, 2);
    stack("w2", "output_linear", "down_proj", "down_proj", 0, 1);
    return names.list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::GraniteMoe);
