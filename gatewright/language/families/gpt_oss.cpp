#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"

namespace gw::inline language {
namespace {

/// Four of 32 or 128 experts with biases and a bounded GLU; attention with sinks, every other layer in a
/// window.
class GptOss : public LanguageFamily {
 public:
  static constexpr const char* kSummary =
      "four of 32 or 128 experts, bounded GLU, attention sinks and windows";
  static constexpr const char* kSource = "OpenAI 2025, arXiv 2508.10925";
  struct Options : OptionSet {};
  GptOss(const Options&, const Context&) {}

  DecoderOptions options(const ModelConfig& c) const override {
    auto o = decoder_options(c);
    o.norm_epsilon = c.real("rms_norm_eps", 1e-5);
    o.query_bias = o.output_bias = c.flag("attention_bias", true);
    o.sinks = true, o.window = c.integer("sliding_window", 128), o.window_every = 2;
    auto bank = gated_bank(o.hidden, "quick_gelu");
    bank["bias"] = true, bank["limit"] = c.real("swiglu_limit", 7.0), bank["up_shift"] = 1.0;
    auto mixture = family_mixture_of(c, {{"part", "top_k_softmax"}}, 4, bank);
    mixture["gate"] = {{"part", "linear"}, {"bias", true}};
    o.mixture = mixture;
    check_windows(c);
    return o;
  }

  std::vector<Binding> layer(const DecoderOptions& o, int64_t i) const override {
    LayerNames names(o, i);
    names.norms().attention().router({"mlp.router.weight", "mlp.gate.weight"});
    names.add({"mixture.gate.bias",
               {{Piece{names.theirs("mlp.router.bias")}}, {Piece{names.theirs("mlp.gate.bias")}}},
               true});
    // GGUF files have gate and up apart, outputs first.
    const auto part = [&](const char* own, const char* theirs, const char* gguf, bool vector, int64_t which,
                          int64_t parts) {
      Piece piece{names.theirs(std::string("mlp.experts.") + theirs)};
      piece.part = which, piece.parts = parts, piece.by_turns = parts > 1;
      piece.vector = vector, piece.transposed = !vector;
      Piece apart{names.theirs(std::string("mlp.experts.") + gguf)};
      apart.vector = vector;
      names.add({std::string("mixture.bank.") + own, {{piece}, {apart}}});
    };
    part("wg", "gate_up_proj", "gate_proj.weight", false, 0, 2);
    part("w1", "gate_up_proj", "up_proj.weight", false, 1, 2);
    part("bg", "gate_up_proj_bias", "gate_proj.bias", true, 0, 2);
    part("b1", "gate_up_proj_bias", "up_proj.bias", true, 1, 2);
    part("w2", "down_proj", "down_proj.weight", false, 0, 1);
    part("b2", "down_proj_bias", "down_proj.bias", true, 0, 1);
    return names.list();
  }

 private:
  static void check_windows(const ModelConfig& c) {
    const auto kinds = c.texts("layer_types");
    for (size_t i = 0; i < kinds.size(); ++i)
      GW_CHECK(kinds[i] == (i % 2 == 0 ? "sliding_attention" : "full_attention"),
               "{}: expected layer_types to alternate, sliding_attention first, got \"{}\" at {}", c.where(),
               kinds[i], i);
  }
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::LanguageFamily, gw::GptOss);
