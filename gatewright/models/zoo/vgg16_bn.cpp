#include <array>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/routed_layers.h"
#include "gatewright/models/staged.h"

namespace gw::inline models {
namespace {

/// VGG-16 with batch norm: 13 3×3 convolutions in five groups, each ended by a 2×2 max pool; average pool to
/// 2×2; 256-256-classes head.
/// The first convolution is the shared stem, its width scaled by the ratio like all others; the head is
/// shared, 256 wide at any ratio.
/// Shapes: [B, C, H, W] → [B, classes], any H, W ≥ 8: pools keep incomplete windows, which changes nothing
///         when 32 divides H and W, and the last average pool repeats a 1×1 map.
/// Cost:   0.3138 G multiply-adds dense, 0.0791 G at ratio 0.5 (3×32×32).
/// Source: Simonyan & Zisserman 2015, arXiv 1409.1556; routed form of Zhang et al. 2023, arXiv 2308.10110;
///         differs: no bias before a norm (the norm removes it), no dropout.
class Vgg16Bn : public Backbone, public Staged {
 public:
  static constexpr const char* kSummary = "VGG-16 with batch norm, CIFAR form";
  static constexpr const char* kSource =
      "Simonyan & Zisserman 2015, arXiv 1409.1556; Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t width = 64;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "channels of the first group; the others have 2, 4, 8 and 8 times as many", 1,
                4096);
    }
  };

  Vgg16Bn(const Options& options, const Context& context) {
    const auto& shape = context.shape;
    GW_CHECK(shape.height >= 8 && shape.width >= 8,
             "models/vgg16_bn: expected images of at least 8x8, got {}x{}", shape.height, shape.width);
    constexpr std::array<int64_t, 5> kConvs{2, 2, 3, 3, 3}, kFactor{1, 2, 4, 8, 8};
    int64_t in = shape.channels;
    for (size_t group = 0; group < kConvs.size(); ++group) {
      const int64_t out = context.narrow(options.width * kFactor[group]);
      for (int64_t i = 0; i < kConvs[group]; ++i) {
        const auto name = "conv" + std::to_string(group + 1) + "_" + std::to_string(i + 1);
        const ops::ConvNormShape conv{in, out, 3, 1, convs_.empty() ? 1 : shape.experts};
        convs_.push_back(register_module(name, std::make_shared<RoutedConvNorm>(conv, context, name)));
        in = out;
      }
      ends_.push_back(convs_.size());
    }
    const Rng rng = context.init().fork("head");
    head1_ = register_module("head1",
                             std::make_shared<Head>(in * kPooled * kPooled, kHidden, context, rng.fork("1")));
    head2_ = register_module("head2", std::make_shared<Head>(kHidden, kHidden, context, rng.fork("2")));
    head3_ = register_module("head3", std::make_shared<Head>(kHidden, shape.classes, context, rng.fork("3")));
  }

  at::Tensor forward(const BucketedBatch& images) override { return all_stages(images); }
  int64_t stages() const override { return static_cast<int64_t>(ends_.size()); }
  BucketedBatch stage(int64_t index, const BucketedBatch& maps) override {
    const auto group = static_cast<size_t>(index);
    auto x = maps;
    for (size_t i = group == 0 ? 0 : ends_.at(group - 1); i < ends_.at(group); ++i) x = convs_[i]->forward(x);
    return max_pool(x, 2, /*ceil=*/true);
  }
  at::Tensor finish(const BucketedBatch& x) override {
    const auto first = rectified(head1_->forward(pooled(x, kPooled), x));
    return head3_->forward(rectified(head2_->forward(first, x)), x);
  }

 private:
  static constexpr int64_t kPooled = 2, kHidden = 256;
  std::vector<std::shared_ptr<RoutedConvNorm>> convs_;
  std::vector<size_t> ends_;  ///< convolutions up to the end of each group
  std::shared_ptr<Head> head1_, head2_, head3_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Backbone, gw::Vgg16Bn);
