#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/routed_layers.h"
#include "gatewright/models/staged.h"

namespace gw::inline models {
namespace {

using ops::ConvNormShape;

/// norm, ReLU → convolution, norm, ReLU → convolution, + shortcut. The middle norm belongs to the first
/// convolution, so that inference folds it. A block that changes shape takes its 1×1 shortcut, routed too,
/// from the activated input.
class PreActivationBlock : public torch::nn::Module {
 public:
  PreActivationBlock(int64_t in, int64_t out, int64_t stride, const ZooContext& context,
                     const std::string& name) {
    const int64_t experts = context.shape.experts;
    norm_ = register_module("norm", std::make_shared<BucketNorm>(in, context));
    conv1_ =
        register_module("conv1", std::make_shared<RoutedConvNorm>(ConvNormShape{in, out, 3, stride, experts},
                                                                  context, name + ".conv1"));
    conv2_ = register_module("conv2", std::make_shared<RoutedConv>(ConvNormShape{out, out, 3, 1, experts},
                                                                   context, name + ".conv2"));
    if (in == out && stride == 1) return;
    const ConvNormShape one{in, out, 1, stride, experts};
    shortcut_ = register_module("shortcut", std::make_shared<RoutedConv>(one, context, name + ".shortcut"));
  }

  BucketedBatch forward(const BucketedBatch& x) {
    const BucketedBatch active = norm_->forward(x);
    const BucketedBatch y = conv2_->forward(conv1_->forward(active));
    return bucket_sum(y, shortcut_ ? shortcut_->forward(active) : x);
  }

 private:
  std::shared_ptr<BucketNorm> norm_;
  std::shared_ptr<RoutedConvNorm> conv1_;
  std::shared_ptr<RoutedConv> conv2_, shortcut_;
};

/// Wide ResNet in pre-activation form: 3×3 stem of 16 channels, three stages of (depth − 4) / 6 blocks with
/// 16, 32 and 64 times `widen` channels, norm, ReLU, global average pool, linear head. The ratio scales the
/// stem too; only the stem and the head are shared by the experts, shortcuts are not.
/// Shapes: [B, C, H, W] → [B, classes], any H, W ≥ 8.
/// Cost:   5.243 G multiply-adds dense, 1.311 G at ratio 0.5 (3×32×32).
/// Source: Zagoruyko & Komodakis 2016, arXiv 1605.07146; routed form of Zhang et al. 2023, arXiv 2308.10110;
///         differs: no dropout.
class WideResNet : public Backbone, public Staged {
 public:
  static constexpr const char* kSummary = "wide ResNet 28-10, pre-activation";
  static constexpr const char* kSource =
      "Zagoruyko & Komodakis 2016, arXiv 1605.07146; Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t depth = 28, widen = 10;
    void fields(OptionVisitor& v) override {
      v.integer("depth", depth, "6·n + 4 layers: n blocks per stage", 10, 1000);
      v.integer("widen", widen, "factor on the stages' 16, 32 and 64 channels", 1, 64);
    }
  };

  WideResNet(const Options& options, const Context& context) {
    const auto& shape = context.shape;
    GW_CHECK((options.depth - 4) % 6 == 0,
             "models/wrn28_10: expected a depth of 6·n + 4, got {}; use 10, 16, 22, 28, 34, 40 …",
             options.depth);
    GW_CHECK(shape.height >= 8 && shape.width >= 8,
             "models/wrn28_10: expected images of at least 8x8, got {}x{}", shape.height, shape.width);
    int64_t in = context.narrow(16);
    stem_ = register_module("stem",
                            std::make_shared<RoutedConv>(ConvNormShape{shape.channels, in}, context, "stem"));
    for (int64_t stage = 0; stage < 3; ++stage) {
      for (int64_t b = 0; b < (options.depth - 4) / 6; ++b) {
        const int64_t out = context.narrow((16 * options.widen) << stage),
                      stride = stage > 0 && b == 0 ? 2 : 1;
        const auto name = "stage" + std::to_string(stage + 1) + "_" + std::to_string(b + 1);
        blocks_.push_back(
            register_module(name, std::make_shared<PreActivationBlock>(in, out, stride, context, name)));
        in = out;
      }
    }
    norm_ = register_module("norm", std::make_shared<BucketNorm>(in, context));
    head_ = register_module("head",
                            std::make_shared<Head>(in, shape.classes, context, context.init().fork("head")));
  }

  at::Tensor forward(const BucketedBatch& images) override { return all_stages(images); }
  int64_t stages() const override { return static_cast<int64_t>(blocks_.size()) + 1; }
  BucketedBatch stage(int64_t index, const BucketedBatch& x) override {
    return index == 0 ? stem_->forward(x) : blocks_.at(static_cast<size_t>(index - 1))->forward(x);
  }
  at::Tensor finish(const BucketedBatch& maps) override {
    return head_->forward(pooled(norm_->forward(maps)), maps);
  }

 private:
  std::shared_ptr<RoutedConv> stem_;
  std::vector<std::shared_ptr<PreActivationBlock>> blocks_;
  std::shared_ptr<BucketNorm> norm_;
  std::shared_ptr<Head> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Backbone, gw::WideResNet);
