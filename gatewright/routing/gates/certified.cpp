#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/interval.h"
#include "gatewright/ops/step_log.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// A router of whole images that can prove that its choice stands: strided 3×3 convolutions with ReLU, means
/// over a grid, and linear scores; no batch norm, whose scale would be one more factor of every bound.
/// Interval bounds of the differences of its scores over an L∞ ball come with it (`lead_bounds`); with no
/// layers the router is linear in the pixels and they are exact.
/// Shapes: images [B, C, H, W] → [B, E].
/// Cost:   with 2 layers of width 4 and grid 7 at 1×28×28: 0.02 M multiply-adds; bounds about 2·E times that.
/// Source: ours; bounds of Gowal et al. 2018, arXiv 1810.12715. Operator norms of the layers (Lipschitz
///         constants) would bound all balls alike; intervals know where an image lies, and cost the same.
class CertifiedGate : public Gate {
 public:
  static constexpr const char* kSummary =
      "a small CNN over the raw image that proves how far no attack can change its choice";
  static constexpr const char* kSource = "bounds of Gowal et al. 2018, arXiv 1810.12715";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.images = traits.bounded = true;
    return traits;
  }();
  struct Options : OptionSet {
    int64_t layers = 2, width = 4, grid = 7;
    void fields(OptionVisitor& v) override {
      v.integer("layers", layers, "strided convolutions; 0: linear in the pixels' means", 0, 4);
      v.integer("width", width, "channels of the first convolution, doubled by each further one", 1, 1024);
      v.integer("grid", grid, "scores are linear in the means of grid x grid windows of the last map", 1,
                256);
    }
  };

  CertifiedGate(const Options& options, const Context& context)
      : channels_(context.width), grid_(options.grid) {
    const Rng rng = Rng(context.seed).fork("gates/certified");
    int64_t in = channels_;
    for (int64_t l = 0; l < options.layers; ++l) {
      const auto name = "conv" + std::to_string(l + 1);
      const int64_t out = options.width << l;
      layers_.push_back(
          {register_parameter(name + "_weight", ops::default_uniform(rng.fork(name), {out, in, 3, 3})),
           register_parameter(name + "_bias", at::zeros({out}))});
      in = out;
    }
    head_ = {register_parameter("head_weight", ops::default_uniform(rng.fork("head"),
                                                                    {context.experts, in * grid_ * grid_})),
             register_parameter("head_bias", at::zeros({context.experts}))};
  }

  at::Tensor forward(const at::Tensor& x) override {
    check(x);
    // An attack wants the images' gradient alone.
    const bool constant = ops::FrozenParameters::active() && !is_training();
    auto y = x;
    for (const auto& layer : layers_) {
      const auto weight = constant ? layer.weight.detach() : layer.weight;
      const auto bias = constant ? layer.bias.detach() : layer.bias;
      auto z = ops::conv2d(y, weight, bias, kShape, /*relu=*/true);
      ops::StepLog::add([&] {
        ops::Step step{ops::Step::Kind::kConvolution, y, z, layer.weight, layer.bias};
        step.stride = kShape.stride, step.padding = kShape.padding, step.relu = true;
        return step;
      });
      y = z;
    }
    const auto rows = at::adaptive_avg_pool2d(y, {grid_, grid_}).flatten(1);
    ops::StepLog::add([&] {
      ops::Step step{ops::Step::Kind::kAdaptivePool, y, rows};
      step.size = grid_;
      return step;
    });
    return ops::linear(rows, head_.weight, head_.bias);
  }

  at::Tensor lead_bounds(const at::Tensor& x, const at::Tensor& first, const at::Tensor& radius) override {
    check(x);
    auto y = ops::pixel_ball(x, radius);
    for (const auto& layer : layers_)
      y = ops::interval_relu(ops::interval_conv2d(y, layer.weight, layer.bias, kShape));
    return ops::interval_leads(ops::interval_pool(y, grid_), head_.weight, head_.bias, first);
  }

  bool takes_images() const override { return true; }
  bool bounded() const override { return true; }

 private:
  static constexpr ops::ConvShape kShape{/*stride=*/2, /*padding=*/1};
  struct Layer {
    at::Tensor weight, bias;
  };
  void check(const at::Tensor& x) const {
    GW_CHECK(x.dim() == 4 && x.size(1) == channels_,
             "gates/certified: expected images [B, {}, H, W], got {} dimensions", channels_, x.dim());
  }

  int64_t channels_, grid_;
  std::vector<Layer> layers_;
  Layer head_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::CertifiedGate);
