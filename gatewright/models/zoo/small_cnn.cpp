#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/routed_layers.h"
#include "gatewright/models/staged.h"

namespace gw::inline models {
namespace {

/// Four convolutions for 28×28 images: shared stem, three routed layers, each stage halved by a 2×2 max pool.
/// Shapes: [B, C, H, W] with H, W ≥ 8 → [B, classes].
/// Activation: ReLU goes along with the batch norm; any other of the catalogue is a pass of its own over the
///         maps, at its default parameters (none is learned here).
/// Source: ours, for the acceptance experiment of the robust MoE-CNN (Zhang et al. 2023, arXiv 2308.10110).
class SmallCnn : public Backbone, public Staged {
 public:
  static constexpr const char* kSummary = "stem and three routed convolutions for 28x28 images";
  static constexpr const char* kSource = "ours, after Zhang et al. 2023, arXiv 2308.10110";
  struct Options : OptionSet {
    int64_t width = 16;
    std::string activation = "relu";
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "channels of the stem; the stages have 2, 4 and 4 times as many", 1, 1024);
      v.text("activation", activation, "after every batch norm: a name or an alias of the catalogue");
    }
  };

  SmallCnn(const Options& options, const Context& context)
      : activation_("models/small_cnn", options.activation) {
    const auto& shape = context.shape;
    GW_CHECK(shape.height >= 8 && shape.width >= 8,
             "models/small_cnn: expected images of at least 8x8, got {}x{}", shape.height, shape.width);
    const int64_t stem = options.width, one = context.narrow(2 * stem), two = context.narrow(4 * stem);
    stem_ = layer("stem", shape.channels, stem, 1, context);
    conv1_ = layer("conv1", stem, one, shape.experts, context);
    conv2_ = layer("conv2", one, two, shape.experts, context);
    conv3_ = layer("conv3", two, two, shape.experts, context);
    head_ = register_module("head",
                            std::make_shared<Head>(two, shape.classes, context, context.init().fork("head")));
  }

  at::Tensor forward(const BucketedBatch& images) override { return all_stages(images); }
  int64_t stages() const override { return 4; }
  BucketedBatch stage(int64_t index, const BucketedBatch& x) override {
    if (index == 3) return active(conv3_->forward(x));
    return max_pool(active((index == 0 ? stem_ : index == 1 ? conv1_ : conv2_)->forward(x)), 2);
  }
  at::Tensor finish(const BucketedBatch& maps) override { return head_->forward(pooled(maps), maps); }

 private:
  bool relu() const { return activation_.name() == "relu"; }
  BucketedBatch active(BucketedBatch x) const { return relu() ? x : activated(x, activation_); }

  std::shared_ptr<RoutedConvNorm> layer(const char* name, int64_t in, int64_t out, int64_t experts,
                                        const Context& context) {
    const ops::ConvNormShape shape{in, out, 3, 1, experts, relu()};
    return register_module(name, std::make_shared<RoutedConvNorm>(shape, context, name));
  }

  ops::ActivationFunction activation_;
  std::shared_ptr<RoutedConvNorm> stem_, conv1_, conv2_, conv3_;
  std::shared_ptr<Head> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Backbone, gw::SmallCnn);
