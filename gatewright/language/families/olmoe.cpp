#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Eight of 64 experts by softmax over all, weights as they are unless norm_topk_prob; queries and keys
/// normed whole.
class Olmoe : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "eight of 64 experts, softmax over all";
  static constexpr const char* kSource = "Muennighoff et al. 2024, arXiv 2409.02060";
  struct Options : OptionSet {};
  Olmoe(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.norm_epsilon = c.real("rms_norm_eps", 1e-5);
    o.query_norm = "whole", o.clip = c.real("clip_qkv", 0.0);
    o.query_bias = o.output_bias = c.flag("attention_bias", false);
    const int64_t experts = experts_of(c);
    o.mixture = Json{{"experts", experts},
                     {"policy",
                      {{"part", "softmax_top_k"},
                       {"k", c.integer("num_experts_per_tok", 8, 1, experts)},
                       {"renormalise", c.flag("norm_topk_prob", false)}}},
                     {"bank", gated_bank(o.hidden, o.activation)}};
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i)
        .norms()
        .attention()
        .router({"mlp.gate.weight"})
        .experts({"mlp"}, "gate_proj", "up_proj", "down_proj")
        .list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Olmoe);
