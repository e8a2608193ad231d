#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/routed_layers.h"
#include "gatewright/models/staged.h"

namespace gw::inline models {
namespace {

using ops::ConvNormShape;

/// norm, ReLU → routed 1×1 to 4·growth, norm, ReLU → routed 3×3 to growth, appended to the input.
class Bottleneck : public torch::nn::Module {
 public:
  Bottleneck(int64_t in, int64_t growth, const ZooContext& context, const std::string& name) {
    const int64_t experts = context.shape.experts;
    const ConvNormShape squeeze{in, 4 * growth, 1, 1, experts}, grow{4 * growth, growth, 3, 1, experts};
    norm_ = register_module("norm", std::make_shared<BucketNorm>(in, context));
    conv1_ = register_module("conv1", std::make_shared<RoutedConvNorm>(squeeze, context, name + ".conv1"));
    conv2_ = register_module("conv2", std::make_shared<RoutedConv>(grow, context, name + ".conv2"));
  }

  BucketedBatch forward(const BucketedBatch& x) {
    return concatenate(x, conv2_->forward(conv1_->forward(norm_->forward(x))));
  }

 private:
  std::shared_ptr<BucketNorm> norm_;
  std::shared_ptr<RoutedConvNorm> conv1_;
  std::shared_ptr<RoutedConv> conv2_;
};

/// norm, ReLU → 1×1 to half the channels, shared by all experts → 2×2 average pool.
class Transition : public torch::nn::Module {
 public:
  Transition(int64_t in, int64_t out, const ZooContext& context, const std::string& name) {
    norm_ = register_module("norm", std::make_shared<BucketNorm>(in, context));
    conv_ = register_module("conv",
                            std::make_shared<RoutedConv>(ConvNormShape{in, out, 1}, context, name + ".conv"));
  }

  BucketedBatch forward(const BucketedBatch& x) { return average_pool(conv_->forward(norm_->forward(x)), 2); }

 private:
  std::shared_ptr<BucketNorm> norm_;
  std::shared_ptr<RoutedConv> conv_;
};

/// DenseNet-BC: 3×3 stem of 2·growth channels, three blocks of (depth − 4) / 6 bottleneck layers, transitions
/// that halve channels and sides between them, norm, ReLU, global average pool, linear head. A pathway of
/// ratio r is the DenseNet of growth int(r·growth):
/// every other width (stem, bottlenecks, transitions) follows from the growth, so all of them shrink by r.
/// Shapes: [B, C, H, W] → [B, classes], any H, W ≥ 8.
/// Cost:   72.4 M multiply-adds dense, 18.3 M at ratio 0.5 (3×32×32).
/// Source: Huang et al. 2017, arXiv 1608.06993; routed form after Zhang et al. 2023, arXiv 2308.10110;
///         differs: the published routed DenseNet cannot be instantiated (its convolution does not take the
///         ratio handed to it), so the widths of the pathway are ours; stem, transitions and head are shared
///         by the experts as there. No dropout.
class DenseNetBc : public Backbone, public Staged {
 public:
  static constexpr const char* kSummary = "DenseNet-BC, depth 40, growth 12";
  static constexpr const char* kSource =
      "Huang et al. 2017, arXiv 1608.06993; Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t depth = 40, growth = 12;
    void fields(OptionVisitor& v) override {
      v.integer("depth", depth, "6·n + 4 layers: n bottlenecks per block", 10, 1000);
      v.integer("growth", growth, "channels that every bottleneck adds", 1, 1024);
    }
  };

  DenseNetBc(const Options& options, const Context& context) {
    const auto& shape = context.shape;
    GW_CHECK((options.depth - 4) % 6 == 0,
             "models/densenet_bc: expected a depth of 6·n + 4, got {}; use 10, 16, 22, 28, 34, 40 …",
             options.depth);
    GW_CHECK(shape.height >= 8 && shape.width >= 8,
             "models/densenet_bc: expected images of at least 8x8, got {}x{}", shape.height, shape.width);
    const int64_t growth = context.narrow(options.growth), layers = (options.depth - 4) / 6;
    int64_t width = 2 * growth;
    stem_ = register_module(
        "stem", std::make_shared<RoutedConv>(ConvNormShape{shape.channels, width}, context, "stem"));
    for (int64_t block = 1; block <= 3; ++block) {
      if (block > 1) {
        const auto name = "transition" + std::to_string(block - 1);
        transitions_.push_back(
            register_module(name, std::make_shared<Transition>(width, width / 2, context, name)));
        width /= 2;
      }
      for (int64_t i = 1; i <= layers; ++i, width += growth) {
        const auto name = "block" + std::to_string(block) + "_" + std::to_string(i);
        layers_.push_back(register_module(name, std::make_shared<Bottleneck>(width, growth, context, name)));
      }
    }
    norm_ = register_module("norm", std::make_shared<BucketNorm>(width, context));
    head_ = register_module(
        "head", std::make_shared<Head>(width, shape.classes, context, context.init().fork("head")));
  }

  at::Tensor forward(const BucketedBatch& images) override { return all_stages(images); }
  int64_t stages() const override { return static_cast<int64_t>(layers_.size()) + 1; }
  BucketedBatch stage(int64_t index, const BucketedBatch& x) override {
    if (index == 0) return stem_->forward(x);
    const auto i = static_cast<size_t>(index - 1), per_block = layers_.size() / 3;
    const bool first = i > 0 && i % per_block == 0;
    return layers_.at(i)->forward(first ? transitions_[i / per_block - 1]->forward(x) : x);
  }
  at::Tensor finish(const BucketedBatch& maps) override {
    return head_->forward(pooled(norm_->forward(maps)), maps);
  }

 private:
  std::shared_ptr<RoutedConv> stem_;
  std::vector<std::shared_ptr<Bottleneck>> layers_;
  std::vector<std::shared_ptr<Transition>> transitions_;
  std::shared_ptr<BucketNorm> norm_;
  std::shared_ptr<Head> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Backbone, gw::DenseNetBc);
