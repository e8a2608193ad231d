#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Dense decoders with a sliding window of attention.
class Mistral : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "dense decoders with a sliding window";
  static constexpr const char* kSource = "Jiang et al. 2023, arXiv 2310.06825";
  struct Options : OptionSet {};
  Mistral(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.window = c.integer("sliding_window", 0);
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i).norms().attention().dense().list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Mistral);
