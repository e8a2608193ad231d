#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/experts/ffn_weights.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/conv.h"

namespace gw::inline experts {
namespace {

/// One dense layer each: what a mixture of layers (not of perceptrons) is made of.
/// Math:   y = act(x Wᵀ + b) per expert.
/// Shapes: weight [E, O, D], bias [E, O]; rows [N, D] sorted by expert → [N, O].
/// Cost:   2·N·D·O flop, whatever E; no fused kernel.
/// Errors: ValueError for rows that do not fit, an unknown activation.
/// Source: Jacobs et al. 1991, Neural Computation 3.
class LayerBank : public Bank {
 public:
  static constexpr const char* kSummary = "one dense layer each";
  static constexpr const char* kSource = "Jacobs et al. 1991, Neural Computation 3";
  struct Options : OptionSet {
    std::string activation = "relu";
    void fields(OptionVisitor& v) override {
      v.text("activation", activation, "of the layer; gatewright list activations");
    }
  };

  LayerBank(const Options& options, const Context& context)
      : context_(context), activation_("banks/layer", options.activation) {
    const Rng rng = Rng(context.seed).fork("banks/layer");
    weight_ = register_parameter("weight", stacked_uniform(rng.fork("weight"), context.experts, context.out,
                                                           context.in, context.drawn));
    bias_ = register_parameter("bias", at::zeros({context.experts, context.out}));
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/layer", rows, offsets, context_);
    return run_each(*this, rows, offsets, context_.out);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    return ops::activation(ops::linear(rows, weight_[e], bias_[e]), activation_);
  }

 private:
  Context context_;
  ops::ActivationFunction activation_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::LayerBank);
