#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Decides for the next block, so that its experts can be fetched while this one computes.
/// Math:   scores of block n+1 = W_ahead x_n; the first block of a chain has W as well, for itself.
/// Shapes: x [T, D] → [T, E]; `ahead` gives the next block's, to be handed over as RouterInputs::scores
///         together with the weights that follow from them.
/// Errors: ValueError when a block that is not the first gets no scores.
/// Source: Hwang et al. 2024, arXiv 2308.12066 (Pre-gated MoE): the pre-gate is the router, nothing falls
///         back on a second opinion.
class PreGate : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores for the next block instead of this one";
  static constexpr const char* kSource = "Hwang et al. 2024, arXiv 2308.12066";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.ahead = true;
    return traits;
  }();
  struct Options : OptionSet {
    bool first = true, last = false;
    double init_scale = 0.1;
    void fields(OptionVisitor& v) override {
      v.flag("first", first, "the first block of a chain: decides for itself as well");
      v.flag("last", last, "the last block of a chain: decides for no other");
      v.real("init_scale", init_scale, "standard deviation of the initial weights times sqrt(D)", 0, 100);
    }
  };

  PreGate(const Options& options, const Context& context) : width_(context.width) {
    const Rng rng = Rng(context.seed).fork("gates/pre_gate");
    const double deviation = options.init_scale / std::sqrt(static_cast<double>(width_));
    if (options.first)
      weight_ =
          register_parameter("weight", ops::normal(rng.fork("own"), {context.experts, width_}, 0, deviation));
    if (!options.last)
      ahead_ = register_parameter("ahead_weight",
                                  ops::normal(rng.fork("ahead"), {context.experts, width_}, 0, deviation));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/pre_gate", x, width_);
    GW_CHECK(weight_.defined(),
             "gates/pre_gate: expected the scores that the block before made, got none; set "
             "RouterInputs::scores to its next_scores");
    return ops::linear(x, weight_, {});
  }

  at::Tensor ahead(const at::Tensor& x) override {
    check_tokens("gates/pre_gate", x, width_);
    return ahead_.defined() ? ops::linear(x, ahead_, {}) : at::Tensor();
  }

 private:
  int64_t width_;
  at::Tensor weight_, ahead_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::PreGate);
