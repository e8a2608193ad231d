#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// A gated residual network of Kolmogorov-Arnold layers.
/// Math:   KAN(x) = W_b φ(x) + W_s B(x), B the cubic B-splines of each feature on a uniform grid over [−r,
///         r]; u = KAN₂(KAN₁(x)), φ₁ = ELU, φ₂ = ReLU; s = LayerNorm(W_skip x + c + (W₁u + c₁) ⊙ σ(W₂u +
///         c₂)).
/// Shapes: x [T, D] → [T, E]. The paper squashes by σ without normalising: policies/dense_softmax with score
///         = "sigmoid".
/// Errors: ValueError for E = 1, whose layer norm is constant.
/// Cost:   T·(D + h)·(grid + 3) spline values and as many multiply-adds times h.
/// Source: Inzirillo and Genet 2024, arXiv 2409.15161 (KAMoE), with grid 3 and h = E; differs: splines
///         include the right edge, the learned input scale and the dense layer in front belong to the layer
///         around it.
class Grkan : public Gate {
 public:
  static constexpr const char* kSummary = "gated residual network of spline (KAN) layers";
  static constexpr const char* kSource = "Inzirillo and Genet 2024, arXiv 2409.15161";
  struct Options : OptionSet {
    int64_t hidden = 0, grid = 3;
    double range = 1;
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "hidden width; 0: the number of experts", 0, 1 << 16);
      v.integer("grid", grid, "intervals of the spline grid", 1, 1024);
      v.real("range", range, "the grid covers [-range, range]; splines are zero far outside", 1e-6, 1e6);
    }
  };

  Grkan(const Options& options, const Context& context)
      : options_(options), width_(context.width), experts_(context.experts) {
    GW_CHECK(experts_ >= 2,
             "gates/grkan: expected at least two experts, got {}: the layer norm over one score is constant",
             experts_);
    const Rng rng = Rng(context.seed).fork("gates/grkan");
    const int64_t hidden = options.hidden > 0 ? options.hidden : experts_;
    base1_ = add("base1", rng, hidden, width_);
    spline1_ = add("spline1", rng, hidden, width_ * (options.grid + kOrder));
    base2_ = add("base2", rng, hidden, hidden);
    spline2_ = add("spline2", rng, hidden, hidden * (options.grid + kOrder));
    skip_ = add("skip", rng, experts_, width_);
    value_ = add("value", rng, experts_, hidden);
    gate_ = add("gate", rng, experts_, hidden);
    skip_bias_ = register_parameter("skip_bias", at::zeros({experts_}));
    value_bias_ = register_parameter("value_bias", at::zeros({experts_}));
    gate_bias_ = register_parameter("gate_bias", at::zeros({experts_}));
    norm_weight_ = register_parameter("norm_weight", at::ones({experts_}));
    norm_bias_ = register_parameter("norm_bias", at::zeros({experts_}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    check_tokens("gates/grkan", x, width_);
    const auto first = ops::linear(at::elu(x), base1_, {}) + ops::linear(splines(x), spline1_, {});
    const auto u = ops::linear(at::relu(first), base2_, {}) + ops::linear(splines(first), spline2_, {});
    const auto gated = ops::linear(u, value_, value_bias_) * at::sigmoid(ops::linear(u, gate_, gate_bias_));
    return at::layer_norm(ops::linear(x, skip_, skip_bias_) + gated, experts_, norm_weight_, norm_bias_);
  }

 private:
  static constexpr int64_t kOrder = 3;

  at::Tensor add(const char* name, const Rng& rng, int64_t out, int64_t in) {
    const double bound = std::sqrt(6.0 / static_cast<double>(in + out));  // Glorot
    return register_parameter(name, ops::uniform(rng.fork(name), {out, in}, -bound, bound));
  }

  /// Cox-de Boor recursion: [T, F] → [T, F·(grid + 3)].
  at::Tensor splines(const at::Tensor& x) const {
    const double step = 2 * options_.range / static_cast<double>(options_.grid);
    const int64_t knots = options_.grid + 2 * kOrder + 1;
    const auto knot =
        at::arange(knots, x.options()) * step - (options_.range + static_cast<double>(kOrder) * step);
    const auto distance = x.unsqueeze(2) - knot;  // [T, F, knots]
    // Half-open intervals, but for the grid's right edge, which belongs to the last one inside.
    const auto right = x.unsqueeze(2).eq(options_.range);
    const auto edge = at::arange(knots - 1, at::kLong).eq(kOrder + options_.grid - 1);
    auto inside = distance.narrow(2, 0, knots - 1).ge(0).logical_and(distance.narrow(2, 1, knots - 1).lt(0));
    inside = inside.logical_and(right.logical_not()).logical_or(right.logical_and(edge));
    auto b = inside.to(x.scalar_type());
    for (int64_t p = 1; p <= kOrder; ++p) {
      const int64_t count = knots - 1 - p;
      const auto rising = distance.narrow(2, 0, count) / (static_cast<double>(p) * step);
      const auto falling = -distance.narrow(2, p + 1, count) / (static_cast<double>(p) * step);
      b = rising * b.narrow(2, 0, count) + falling * b.narrow(2, 1, count);
    }
    return b.flatten(1);
  }

  Options options_;
  int64_t width_, experts_;
  at::Tensor base1_, spline1_, base2_, spline2_, skip_, value_, gate_;
  at::Tensor skip_bias_, value_bias_, gate_bias_, norm_weight_, norm_bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Grkan);
