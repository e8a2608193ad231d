#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/spline.h"

namespace gw::inline experts {
namespace {

/// Spline experts: one or two layers of a Kolmogorov-Arnold network each, on uniform grids.
/// Math:   y = L₂(L₁(x)), or L₁(x) without `hidden`; L(x) = W_b φ(x) + W_s B(x) + b, B the B-splines of each
///         value on `grid` intervals of [−range, range], φ the base activation.
/// Shapes: base [E, O, D], spline [E, O, D·(grid + order)], bias [E, O]; rows [N, D] sorted by expert → [N,
///         O].
/// Grad:   of the splines' coefficients, the base and the rows; knots stay where they are. Rows far outside
///         the grid are seen by the base alone.
/// Cost:   a row and layer: D·(grid + order)·order flop for the splines, 2·D·O·(1 + grid + order) for the
///         products; no fused kernel.
/// Errors: ValueError for rows that do not fit, an unknown activation.
/// Source: Liu et al. 2024, arXiv 2404.19756 (KAN); weights as in the efficient form that Inzirillo and Genet
///         2024, arXiv 2409.15161, use: Glorot-uniform, fixed knots; differs: splines include the grid's
///         right edge.
class KanBank : public Bank {
 public:
  static constexpr const char* kSummary = "spline experts: layers of Kolmogorov-Arnold networks";
  static constexpr const char* kSource = "Liu et al. 2024, arXiv 2404.19756; Inzirillo and Genet 2024";
  struct Options : OptionSet {
    int64_t hidden = 0;
    ops::SplineGrid splines;
    std::string base = "silu";
    bool bias = true;
    void fields(OptionVisitor& v) override {
      v.integer("hidden", hidden, "values between two layers; 0: one layer", 0, 1 << 16);
      ops::visit_grid(v, splines);
      v.text("base", base, "activation beside the splines; gatewright list activations");
      v.flag("bias", bias, "add a bias after each layer");
    }
  };

  KanBank(const Options& options, const Context& context)
      : context_(context), grid_(options.splines), base_("banks/kan", options.base) {
    const Rng rng = Rng(context.seed).fork("banks/kan");
    const int64_t middle = options.hidden > 0 ? options.hidden : context.out;
    add(rng, "1", middle, context.in, options.bias);
    if (options.hidden > 0) add(rng, "2", context.out, middle, options.bias);
  }

  at::Tensor forward(const at::Tensor& rows, const std::vector<int64_t>& offsets) override {
    check_rows("banks/kan", rows, offsets, context_);
    return run_each(*this, rows, offsets, context_.out);
  }

  at::Tensor run_one(const at::Tensor& rows, int64_t e) override {
    auto y = rows;
    for (const auto& layer : layers_) {
      y = ops::kan_layer(y, ops::activation(y, base_), layer.base[e], layer.spline[e], grid_);
      if (layer.bias.defined()) y = y + layer.bias[e];
    }
    return y;
  }

 private:
  struct Layer {
    at::Tensor base, spline, bias;
  };

  void add(const Rng& rng, const std::string& place, int64_t out, int64_t in, bool bias) {
    const auto drawn = [&](const std::string& name, int64_t width) {
      return register_parameter(name, ops::glorot_uniform(rng.fork(name), {context_.experts, out, width}));
    };
    Layer layer{drawn("base" + place, in), drawn("spline" + place, in * grid_.splines()), {}};
    if (bias) layer.bias = register_parameter("bias" + place, at::zeros({context_.experts, out}));
    layers_.push_back(std::move(layer));
  }

  Context context_;
  ops::SplineGrid grid_;
  ops::ActivationFunction base_;
  std::vector<Layer> layers_;
};

}  // namespace
}  // namespace gw::inline experts

GW_REGISTER(gw::Bank, gw::KanBank);
