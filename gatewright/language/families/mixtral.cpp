#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Softmax over the two largest of eight scores. In the files w1 is the gate, w3 the second product, w2 the
/// last.
class Mixtral : public LanguageFamily {
 public:
  static constexpr const char* kSummary = "two of eight experts, softmax over the chosen";
  static constexpr const char* kSource = "Jiang et al. 2024, arXiv 2401.04088";
  struct Options : OptionSet {};
  Mixtral(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.window = c.integer("sliding_window", 0);
    o.mixture = family_mixture_of(c, {{"part", "top_k_softmax"}}, 2, gated_bank(o.hidden, o.activation));
    return o;
  }
  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    return LayerNames(o, i)
        .norms()
        .attention()
        .router({"block_sparse_moe.gate.weight", "mlp.gate.weight"})
        .experts({"block_sparse_moe", "mlp"}, "w1", "w3", "w2")
        .list();
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::Mixtral);
