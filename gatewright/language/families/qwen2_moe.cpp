#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Four of 60 experts and a shared one times the sigmoid of a score of its own.
class Qwen2Moe : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "four of 60 experts beside a shared one with a gate of its own";
  static constexpr const char* kSource = "Yang et al. 2024, arXiv 2407.10671";
  struct Options : OptionSet {};
  Qwen2Moe(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.query_bias = c.flag("qkv_bias", true);
    o.every = c.integer("decoder_sparse_step", 1, 1, 4096), o.dense_layers = c.reals("mlp_only_layers");
    auto mixture =
        family_mixture_of(c, softmax_policy(c), 4,
                          gated_bank(c.integer("moe_intermediate_size", {}, 1, 1 << 24), o.activation));
    mixture["shared_experts"] = 1, mixture["shared_gate"] = true;
    mixture["shared_bank"] =
        gated_bank(c.integer("shared_expert_intermediate_size", {}, 1, 1 << 24), o.activation);
    o.mixture = mixture;
    return o;
  }

  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().attention();
    if (!o.routed(i)) return names.dense().list();
    names.mlp_mixture();
    names.shared("mlp.shared_expert");
    return names.plain("mixture.shared_gate", "mlp.shared_expert_gate.weight").list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Qwen2Moe);
