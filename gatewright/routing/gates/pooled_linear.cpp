#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

/// A per-layer router of a CNN: the mean of each channel, then one matrix product.
/// Math:   s = mean_hw(x) W + b. Shapes: x [B, C, H, W] → [B, E]. Cost: B·C·H·W additions + 2·B·C·E flop.
/// Source: the global-average-pool form of Wang et al. 2018, arXiv 1806.01531 (DeepMoE), with a linear head.
class PooledLinear : public Gate {
 public:
  static constexpr const char* kSummary = "linear scores of an image's channel means (per-layer routing)";
  static constexpr const char* kSource = "Wang et al. 2018, arXiv 1806.01531";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.images = true;
    return traits;
  }();
  struct Options : OptionSet {};

  PooledLinear(const Options&, const Context& context) : channels_(context.width), experts_(context.experts) {
    const Rng rng = Rng(context.seed).fork("gates/pooled_linear");
    weight_ = register_parameter("weight", ops::default_uniform(rng, {experts_, channels_}));
    bias_ = register_parameter("bias", at::zeros({experts_}));
  }

  at::Tensor forward(const at::Tensor& x) override {
    GW_CHECK(x.dim() == 4 && x.size(1) == channels_,
             "gates/pooled_linear: expected maps [B, {}, H, W], got {} dimensions", channels_, x.dim());
    return ops::linear(ops::channel_means(x), weight_, bias_);
  }
  bool takes_images() const override { return true; }

 private:
  int64_t channels_, experts_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::PooledLinear);
