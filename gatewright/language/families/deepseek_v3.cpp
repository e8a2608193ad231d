#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Latent attention; eight of 256 experts by biased sigmoid scores, within groups.
class DeepseekV3Family : public LanguageFamily {
 public:
  static constexpr const char* kSummary =
      "latent attention; eight of 256 experts by biased sigmoid scores, within groups";
  static constexpr const char* kSource = "DeepSeek-AI 2024, arXiv 2412.19437";
  struct Options : OptionSet {};
  DeepseekV3Family(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    return latent_options(c, {{"part", "deepseek_v3"},
                              {"groups", c.integer("n_group", 1, 1, 4096)},
                              {"kept_groups", c.integer("topk_group", 1, 1, 4096)},
                              {"renormalise", c.flag("norm_topk_prob", true)}});
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().latent_attention();
    if (!o.routed(i)) return names.dense().list();
    names.mlp_mixture();
    names.add(
        {"mixture.policy_selection_bias", {{Piece{names.theirs("mlp.gate.e_score_correction_bias")}}}, true});
    if (o.mixture.json().contains("shared_bank")) names.shared("mlp.shared_experts");
    return names.list();
  }
  /// The layer that predicts two tokens ahead stands behind the last one.
  std::vector<std::string> ignored(const DecoderOptions& o) const override {
    return {".rotary_emb.inv_freq", "model.layers." + std::to_string(o.depth) + "."};
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::DeepseekV3Family);
