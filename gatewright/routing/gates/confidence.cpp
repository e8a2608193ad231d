#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// How sure the weak expert is decides between it (expert 0) and the strong one (expert 1).
/// Math:   p = softmax(z) of the weak expert's logits z; v = Var(p)/Var(one-hot), h = 1 − H(p)/ln C, both 1
///         for a one-hot and 0 for a uniform p; l = MLP([v, h]), scores (l, 0), so that softmax gives (c, 1 −
///         c) with c = σ(l).
/// Shapes: z [T, C] → [T, 2].
/// Errors: ValueError for other than two experts, or C < 2.
/// Grad:   through v and h into the weak expert, as the method needs.
/// Source: Zeng et al. 2024, arXiv 2311.05185 (Mowst), section 2; Mowst* is this gate with
///         policies/dense_softmax. Differs: no batch norm in the MLP.
class Confidence : public Gate {
 public:
  static constexpr const char* kSummary =
      "weak or strong expert, by the dispersion of the weak one's prediction";
  static constexpr const char* kSource = "Zeng et al. 2024, arXiv 2311.05185";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.experts = 2;
    return traits;
  }();
  struct Options : OptionSet {
    int64_t hidden = 16;
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "hidden width of the MLP", 1, 1 << 16);
    }
  };

  Confidence(const Options& options, const Context& context) : classes_(context.width) {
    GW_CHECK(context.experts == 2, "gates/confidence: expected two experts (weak, strong), got {}",
             context.experts);
    GW_CHECK(classes_ >= 2, "gates/confidence: expected the logits of at least two classes, got width {}",
             classes_);
    const Rng rng = Rng(context.seed).fork("gates/confidence");
    hidden_weight_ =
        register_parameter("hidden_weight", ops::default_uniform(rng.fork("hidden"), {options.hidden, 2}));
    hidden_bias_ = register_parameter("hidden_bias", at::zeros({options.hidden}));
    weight_ = register_parameter("weight", ops::default_uniform(rng.fork("out"), {1, options.hidden}));
    bias_ = register_parameter("bias", at::zeros({1}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/confidence", x, classes_);
    const auto logit =
        ops::linear(at::relu(ops::linear(dispersion(x), hidden_weight_, hidden_bias_)), weight_, bias_);
    return at::cat({logit, at::zeros_like(logit)}, 1);
  }

 private:
  at::Tensor dispersion(const at::Tensor& logits) const {
    const auto p = at::softmax(logits, 1);
    const double classes = static_cast<double>(classes_), mean = 1 / classes;
    const auto variance = (p - mean).square().mean(1, true) / (mean * (1 - mean));
    const auto entropy = -(p * at::log_softmax(logits, 1)).sum(1, true);
    return at::cat({variance, 1 - entropy / std::log(classes)}, 1);
  }

  int64_t classes_;
  at::Tensor hidden_weight_, hidden_bias_, weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Confidence);
