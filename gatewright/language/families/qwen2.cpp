#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Dense decoders with biases of queries, keys and values.
class Qwen2 : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "dense decoders with biases of queries, keys and values";
  static constexpr const char* kSource = "Yang et al. 2024, arXiv 2407.10671";
  struct Options : OptionSet {};
  Qwen2(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.query_bias = true;
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i).norms().attention().dense().list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Qwen2);
