#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/network.h"
#include "gatewright/models/routed_layers.h"

namespace gw::inline models {
namespace {

/// Four convolutions for 28×28 images: shared stem, three routed layers, each stage halved by a 2×2 max pool.
/// Shapes: [B, C, H, W] with H, W ≥ 8 → [B, classes].
/// Source: ours, for the acceptance experiment of the robust MoE-CNN (Zhang et al. 2023, arXiv 2308.10110).
class SmallCnn : public Backbone {
 public:
  static constexpr const char* kSummary = "stem and three routed convolutions for 28x28 images";
  static constexpr const char* kSource = "ours, after Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t width = 16;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "channels of the stem; the stages have 2, 4 and 4 times as many", 1, 1024);
    }
  };

  SmallCnn(const Options& options, const Context& context) {
    const auto& shape = context.shape;
    GW_CHECK(shape.height >= 8 && shape.width >= 8,
             "models/small_cnn: expected images of at least 8x8, got {}x{}", shape.height, shape.width);
    const int64_t stem = options.width, one = context.narrow(2 * stem), two = context.narrow(4 * stem);
    stem_ = register_module(
        "stem", std::make_shared<RoutedConvNorm>(ops::ConvNormShape{shape.channels, stem}, context, "stem"));
    conv1_ =
        register_module("conv1", std::make_shared<RoutedConvNorm>(
                                     ops::ConvNormShape{stem, one, 3, 1, shape.experts}, context, "conv1"));
    conv2_ =
        register_module("conv2", std::make_shared<RoutedConvNorm>(
                                     ops::ConvNormShape{one, two, 3, 1, shape.experts}, context, "conv2"));
    conv3_ =
        register_module("conv3", std::make_shared<RoutedConvNorm>(
                                     ops::ConvNormShape{two, two, 3, 1, shape.experts}, context, "conv3"));
    head_ = register_module("head",
                            std::make_shared<Head>(two, shape.classes, context, context.init().fork("head")));
  }

  at::Tensor forward(const BucketedBatch& images) override {
    auto x = max_pool(stem_->forward(images), 2);
    x = max_pool(conv1_->forward(x), 2);
    x = max_pool(conv2_->forward(x), 2);
    x = conv3_->forward(x);
    return head_->forward(pooled(x), x);
  }

 private:
  std::shared_ptr<RoutedConvNorm> stem_, conv1_, conv2_, conv3_;
  std::shared_ptr<Head> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Backbone, gw::SmallCnn);
