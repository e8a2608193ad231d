#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/spline.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// A gated residual network of Kolmogorov-Arnold layers, or of dense ones.
/// Math:   KAN(x) = W_b φ(x) + W_s B(x), B the B-splines of each feature on a uniform grid over [−r, r]; u =
///         KAN₂(KAN₁(x)), φ₁ = ELU, φ₂ = ReLU; s = LayerNorm(W_skip x + c + (W₁u + c₁) ⊙ σ(W₂u + c₂)).
///         layers = "dense" is the plain gate that the paper compares with (GRN): u = W ELU(V x).
/// Shapes: x [T, D] → [T, E]. The paper squashes by σ without normalising: policies/dense_softmax with score
///         = "sigmoid".
/// Errors: ValueError for E = 1, whose layer norm is constant.
/// Cost:   T·(D + h)·(grid + order) spline values and as many multiply-adds times h.
/// Source: Inzirillo and Genet 2024, arXiv 2409.15161 (KAMoE), with grid 3 and h = E; differs: splines
///         include the right edge, the learned input scale and the dense layer in front belong to the layer
///         around it (networks/kamoe).
class Grkan : public Gate {
 public:
  static constexpr const char* kSummary = "gated residual network of spline (KAN) layers";
  static constexpr const char* kSource = "Inzirillo and Genet 2024, arXiv 2409.15161";
  struct Options : OptionSet {
    int64_t hidden = 0;
    ops::SplineGrid splines;
    std::string layers = "kan";
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "hidden width; 0: the number of experts", 0, 1 << 16);
      ops::visit_grid(v, splines);
      v.text("layers", layers, "dense: without splines, the plain gate to compare with", {"kan", "dense"});
    }
  };

  Grkan(const Options& options, const Context& context)
      : grid_(options.splines), width_(context.width), experts_(context.experts) {
    GW_CHECK(experts_ >= 2,
             "gates/grkan: expected at least two experts, got {}: the layer norm over one score is constant",
             experts_);
    const Rng rng = Rng(context.seed).fork("gates/grkan");
    const int64_t hidden = options.hidden > 0 ? options.hidden : experts_;
    w_.base1 = add("base1", rng, hidden, width_);
    w_.base2 = add("base2", rng, hidden, hidden);
    if (options.layers == "kan") {
      w_.spline1 = add("spline1", rng, hidden, width_ * grid_.splines());
      w_.spline2 = add("spline2", rng, hidden, hidden * grid_.splines());
    }
    w_.skip = add("skip", rng, experts_, width_);
    w_.value = add("value", rng, experts_, hidden);
    w_.gate = add("gate", rng, experts_, hidden);
    w_.skip_bias = register_parameter("skip_bias", at::zeros({experts_}));
    w_.value_bias = register_parameter("value_bias", at::zeros({experts_}));
    w_.gate_bias = register_parameter("gate_bias", at::zeros({experts_}));
    w_.norm = register_parameter("norm_weight", at::ones({experts_}));
    w_.norm_bias = register_parameter("norm_bias", at::zeros({experts_}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/grkan", x, width_);
    return ops::gated_residual(x, w_, grid_);
  }

 private:
  at::Tensor add(const char* name, const Rng& rng, int64_t out, int64_t in) {
    return register_parameter(name, ops::glorot_uniform(rng.fork(name), {out, in}));
  }

  ops::SplineGrid grid_;
  int64_t width_, experts_;
  ops::GatedResidualWeights w_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, Grkan);
