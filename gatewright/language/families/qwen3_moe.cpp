#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Eight of 128 experts, weights over the chosen; queries and keys normed head by head.
class Qwen3Moe : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "eight of 128 experts, queries and keys normed head by head";
  static constexpr const char* kSource = "Yang et al. 2025, arXiv 2505.09388";
  struct Options : OptionSet {};
  Qwen3Moe(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.query_norm = "head";
    o.query_bias = o.output_bias = c.flag("attention_bias", false);
    if (c.flag("use_sliding_window", false)) o.window = c.integer("sliding_window", 0);
    o.every = c.integer("decoder_sparse_step", 1, 1, 4096), o.dense_layers = c.reals("mlp_only_layers");
    o.mixture =
        family_mixture_of(c, softmax_policy(c), 8,
                          gated_bank(c.integer("moe_intermediate_size", {}, 1, 1 << 24), o.activation));
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().attention();
    if (!o.routed(i)) return names.dense().list();
    return names.mlp_mixture().list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Qwen3Moe);
