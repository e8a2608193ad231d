#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Dense decoders: one perceptron a layer. Also what Mistral, SmolLM2 and their like are.
class Llama : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "dense decoders: Llama, Mistral, SmolLM2";
  static constexpr const char* kSource = "Touvron et al. 2023, arXiv 2302.13971";
  struct Options : OptionSet {};
  Llama(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.query_bias = o.output_bias = c.flag("attention_bias", false);
    o.window = c.integer("sliding_window", 0);
    GW_CHECK(!c.flag("mlp_bias", false), "{}: expected mlp_bias = false, got true", c.where());
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i).norms().attention().dense().list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Llama);
