#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// Scores of every pixel, by a small window around it.
/// Math:   s = conv_k(x) + b with E output channels, one token per pixel.
/// Shapes: maps [B, C, H, W] → [B·H·W, E], rows in the order b, h, w: for tokens x.permute(0, 2, 3,
///         1).reshape(−1, C).
/// Source: Du et al. 2023, IEEE TIP 32 (HMoDE: densities of several experts mixed by pixel), with
///         policies/dense_softmax; differs: one convolution where the paper's gate shares the experts'
///         attention.
class Pixelwise : public Gate {
 public:
  static constexpr const char* kSummary = "scores of every pixel of a map, by a convolution";
  static constexpr const char* kSource = "Du et al. 2023, IEEE TIP 32";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.images = traits.per_pixel = true;
    return traits;
  }();
  struct Options : OptionSet {
    int64_t window = 1;
    void fields(OptionVisitor& v) override { v.integer("window", window, "side of the window, odd", 1, 31); }
  };

  Pixelwise(const Options& options, const Context& context)
      : channels_(context.width), window_(options.window) {
    GW_CHECK(window_ % 2 == 1, "gates/pixelwise: expected an odd window, got {}", window_);
    const Rng rng = Rng(context.seed).fork("gates/pixelwise");
    const double deviation = 1.0 / std::sqrt(static_cast<double>(channels_ * window_ * window_));
    weight_ = register_parameter(
        "weight", ops::normal(rng, {context.experts, channels_, window_, window_}, 0, deviation));
    bias_ = register_parameter("bias", at::zeros({context.experts}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    GW_CHECK(x.dim() == 4 && x.size(1) == channels_,
             "gates/pixelwise: expected maps [B, {}, H, W], got {} dimensions", channels_, x.dim());
    const auto scores = ops::conv2d(x, weight_, bias_, {1, window_ / 2});
    return scores.permute({0, 2, 3, 1}).reshape({-1, weight_.size(0)});
  }
  bool takes_images() const override { return true; }

 private:
  int64_t channels_, window_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::Pixelwise);
