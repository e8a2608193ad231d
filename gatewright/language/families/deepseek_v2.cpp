#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Latent attention; six of 64 or 160 experts by softmax, within groups, beside shared ones.
class DeepseekV2Family : public LanguageFamily {
 public:
  static constexpr const char* kSummary =
      "latent attention; six of 64 or 160 experts by softmax, within groups, beside shared ones";
  static constexpr const char* kSource = "DeepSeek-AI 2024, arXiv 2405.04434";
  struct Options : OptionSet {};
  DeepseekV2Family(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    Json policy = {{"part", "deepseek_v2"}};
    const auto method = c.text("topk_method", "greedy");
    GW_CHECK(method == "greedy" || method == "group_limited_greedy",
             "{}: expected topk_method greedy or group_limited_greedy, got \"{}\"", c.where(), method);
    if (method != "greedy")
      policy["groups"] = c.integer("n_group", {}, 1, 4096),
      policy["kept_groups"] = c.integer("topk_group", {}, 1, 4096);
    return latent_options(c, policy);
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().latent_attention();
    if (!o.routed(i)) return names.dense().list();
    names.mlp_mixture();
    if (o.mixture.json().contains("shared_bank")) names.shared("mlp.shared_experts");
    return names.list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::DeepseekV2Family);
