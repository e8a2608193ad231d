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
    o.mixture = family_mixture_of(c, softmax_policy(c), 8, gated_bank(o.hidden, o.activation));
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i).norms().attention().mlp_mixture().list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Olmoe);
