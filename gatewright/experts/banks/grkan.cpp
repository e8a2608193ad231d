#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/spline.h"

namespace gw::inline experts {
namespace {

/// Gated residual blocks of spline layers: what gates/grkan is, as experts, and with one expert as a block.
/// Math:   y = act(LayerNorm(W_skip x + c + (W₁u + c₁) ∘ σ(W₂u + c₂))), u = KAN₂(KAN₁(x)) with `hidden`
///         values; layers = "dense": u = W ELU(V x), the gated residual network (GRN).
/// Shapes: weights [E, …] as gatewright/ops/spline.h has them; rows [N, D] sorted by expert → [N, O].
/// Cost:   a row: about 2·h·(D + h)·(1 + grid + order) + 2·O·(D + 2·h) flop; no fused kernel.
/// Errors: ValueError for rows that do not fit, an unknown activation, and O = 1, where the norm is constant.
/// Source: Inzirillo and Genet 2024, arXiv 2409.15161 (GRKAN); Lim et al. 2021 (GRN).
class GrkanBank : public Bank {
 public:
  static constexpr const char* kSummary = "gated residual blocks of spline (KAN) or dense layers";
  static constexpr const char* kSource = "Inzirillo and Genet 2024, arXiv 2409.15161";
  struct Options : OptionSet {
    int64_t hidden = 0;
    ops::SplineGrid splines;
    std::string activation = "identity", layers = "kan";
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "hidden width; 0: that of the answer", 0, 1 << 16);
      ops::visit_grid(v, splines);
      v.text("activation", activation, "after the norm; gatewright list activations");
      v.text("layers", layers, "dense: without splines", {"kan", "dense"});
    }
  };

  GrkanBank(const Options& options, const Context& context)
      : context_(context), grid_(options.splines), activation_("banks/grkan", options.activation) {
    GW_CHECK(context.out >= 2,
             "banks/grkan: expected experts of at least two values, got {}: the norm over one is constant",
             context.out);
    const Rng rng = Rng(context.seed).fork("banks/grkan");
    const int64_t h = options.hidden > 0 ? options.hidden : context.out, in = context.in, out = context.out;
    w_.base1 = add("base1", rng, h, in), w_.base2 = add("base2", rng, h, h);
    if (options.layers == "kan") {
      w_.spline1 = add("spline1", rng, h, in * grid_.splines());
      w_.spline2 = add("spline2", rng, h, h * grid_.splines());
    }
    w_.skip = add("skip", rng, out, in), w_.value = add("value", rng, out, h),
    w_.gate = add("gate", rng, out, h);
    w_.skip_bias = constant("skip_bias", 0), w_.value_bias = constant("value_bias", 0);
    w_.gate_bias = constant("gate_bias", 0);
    w_.norm = constant("norm_weight", 1), w_.norm_bias = constant("norm_bias", 0);
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/grkan", rows, offsets, context_);
    return run_each(*this, rows, offsets, context_.out);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    const auto of = [e](const at::Tensor& t) { return t.defined() ? t[e] : t; };
    const ops::GatedResidualWeights own{of(w_.base1), of(w_.spline1),   of(w_.base2), of(w_.spline2),
                                        of(w_.skip),  of(w_.skip_bias), of(w_.value), of(w_.value_bias),
                                        of(w_.gate),  of(w_.gate_bias), of(w_.norm),  of(w_.norm_bias)};
    return ops::activation(ops::gated_residual(rows, own, grid_), activation_);
  }

 private:
  at::Tensor add(const char* name, const Rng& rng, int64_t out, int64_t in) {
    return register_parameter(name, ops::glorot_uniform(rng.fork(name), {context_.experts, out, in}));
  }
  at::Tensor constant(const char* name, double value) {
    return register_parameter(name, at::full({context_.experts, context_.out}, value, at::kFloat));
  }

  Context context_;
  ops::SplineGrid grid_;
  ops::ActivationFunction activation_;
  ops::GatedResidualWeights w_;
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::GrkanBank);
