#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Two of sixteen experts by the sparse mixer, whose weights do not add up to one; layer norms with biases.
/// Texts beyond the original length take longrope's long factors, as in the published code; transformers 5
/// keeps the short ones there, with the long texts' attention factor.
class PhiMoe : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "two of sixteen experts by the sparse mixer";
  static constexpr const char* kSource =
      "Abdin et al. 2024, arXiv 2404.14219; Liu et al. 2024, arXiv 2409.12136";
  struct Options : OptionSet {};
  PhiMoe(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.norm_epsilon = c.real("rms_norm_eps", 1e-5), o.centred_norm = true;
    o.query_bias = o.output_bias = c.flag("attention_bias", false),
    o.head_bias = c.flag("lm_head_bias", false);
    o.window = c.integer("sliding_window", 0);
    const int64_t experts = experts_of(c);
    const int64_t k = c.integer("num_experts_per_tok", 2, 1, experts);
    GW_CHECK(k == 2, "{}: expected num_experts_per_tok = 2, which the sparse mixer chooses, got {}",
             c.where(), k);
    o.mixture = Json{{"experts", experts},
                     {"policy", {{"part", "sparsemixer"}, {"width", c.real("router_jitter_noise", 0.01)}}},
                     {"bank", gated_bank(o.hidden, o.activation)}};
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i)
        .norms()
        .attention()
        .router({"block_sparse_moe.gate.weight", "mlp.gate.weight", "mlp.router.weight"})
        .experts({"block_sparse_moe", "mlp"}, "w1", "w3", "w2")
        .list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::PhiMoe);
