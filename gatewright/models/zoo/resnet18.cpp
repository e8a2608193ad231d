#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/routed_layers.h"
#include "gatewright/models/staged.h"

namespace gw::inline models {
namespace {

/// Two routed 3×3 convolutions; the 1×1 shortcut is shared by all experts.
class BasicBlock : public torch::nn::Module {
 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride, const ZooContext& context, const std::string& name) {
    const int64_t experts = context.shape.experts;
    conv1_ = register_module(
        "conv1", std::make_shared<RoutedConvNorm>(ops::ConvNormShape{in, out, 3, stride, experts}, context,
                                                  name + ".conv1"));
    conv2_ =
        register_module("conv2", std::make_shared<RoutedConvNorm>(ops::ConvNormShape{out, out, 3, 1, experts},
                                                                  context, name + ".conv2"));
    if (in == out && stride == 1) return;
    shortcut_ = register_module(
        "shortcut", std::make_shared<RoutedConvNorm>(ops::ConvNormShape{in, out, 1, stride, 1, false},
                                                     context, name + ".shortcut"));
  }

  BucketedBatch forward(const BucketedBatch& x) {
    const BucketedBatch residual = shortcut_ ? shortcut_->forward(x) : x;
    return conv2_->forward(conv1_->forward(x), &residual);
  }

 private:
  std::shared_ptr<RoutedConvNorm> conv1_, conv2_, shortcut_;
};

/// ResNet-18 in CIFAR form: 3×3 stem of 64 (`width`) channels at any ratio, four stages of two blocks, global
/// average pool, linear head.
/// Shapes: [B, C, H, W] → [B, classes], any H, W ≥ 8. Cost: 0.5554 G multiply-adds dense, 0.1517 G at ratio
///         0.5 (3×32×32).
/// Source: He et al. 2016, arXiv 1512.03385; routed form of Zhang et al. 2023, arXiv 2308.10110.
class ResNet18 : public Backbone, public Staged {
 public:
  static constexpr const char* kSummary = "ResNet-18, CIFAR form";
  static constexpr const char* kSource =
      "He et al. 2016, arXiv 1512.03385; Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t width = 64;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "channels of the stem and of the first stage; every stage doubles them", 1,
                4096);
    }
  };

  ResNet18(const Options& options, const Context& context) {
    const auto& shape = context.shape;
    GW_CHECK(shape.height >= 8 && shape.width >= 8,
             "models/resnet18: expected images of at least 8x8, got {}x{}", shape.height, shape.width);
    stem_ = register_module("stem", std::make_shared<RoutedConvNorm>(
                                        ops::ConvNormShape{shape.channels, options.width}, context, "stem"));
    int64_t in = options.width;
    for (int64_t stage = 0; stage < 4; ++stage) {
      for (int64_t b = 0; b < 2; ++b) {
        const int64_t out = context.narrow(options.width << stage), stride = stage > 0 && b == 0 ? 2 : 1;
        const auto name = "stage" + std::to_string(stage + 1) + "_" + std::to_string(b + 1);
        blocks_.push_back(
            register_module(name, std::make_shared<BasicBlock>(in, out, stride, context, name)));
        in = out;
      }
    }
    head_ = register_module("head",
                            std::make_shared<Head>(in, shape.classes, context, context.init().fork("head")));
  }

  at::Tensor forward(const BucketedBatch& images) override { return all_stages(images); }
  int64_t stages() const override { return static_cast<int64_t>(blocks_.size()) + 1; }
  BucketedBatch stage(int64_t index, const BucketedBatch& x) override {
    return index == 0 ? stem_->forward(x) : blocks_.at(static_cast<size_t>(index - 1))->forward(x);
  }
  at::Tensor finish(const BucketedBatch& maps) override { return head_->forward(pooled(maps), maps); }

 private:
  std::shared_ptr<RoutedConvNorm> stem_;
  std::vector<std::shared_ptr<BasicBlock>> blocks_;
  std::shared_ptr<Head> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Backbone, gw::ResNet18);
