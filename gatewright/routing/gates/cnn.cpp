#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/conv_norm.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/step_log.h"
#include "gatewright/routing/gate.h"

namespace gw::inline routing {
namespace {

using ops::ConvNorm;
using ops::ConvNormShape;

/// Two 3×3 convolutions with a parameter-free shortcut: stride-2 subsampling and zero-padded channels
/// ("option A").
class OptionABlock : public torch::nn::Module {
 public:
  OptionABlock(int64_t in, int64_t out, int64_t stride, const Rng& rng)
      : in_(in), out_(out), stride_(stride) {
    conv1_ = register_module(
        "conv1",
        std::make_shared<ConvNorm>(ConvNormShape{in, out, 3, stride, 1, true, false}, rng.fork("conv1")));
    conv2_ = register_module("conv2", std::make_shared<ConvNorm>(
                                          ConvNormShape{out, out, 3, 1, 1, true, false}, rng.fork("conv2")));
  }

  at::Tensor forward(const at::Tensor& x, std::optional<bool> train) {
    const auto inner = conv1_->forward(x, {}, train);
    if (in_ == out_ && stride_ == 1) return conv2_->forward(inner, x, train);
    const auto sampled = x.slice(2, 0, c10::nullopt, stride_).slice(3, 0, c10::nullopt, stride_);
    const int64_t extra = out_ - in_;
    const auto shortcut = at::constant_pad_nd(sampled, {0, 0, 0, 0, extra / 2, extra - extra / 2})
                              .contiguous(at::MemoryFormat::ChannelsLast);
    ops::StepLog::add([&] {
      ops::Step step{ops::Step::Kind::kSubsample, x, shortcut};
      step.stride = stride_, step.padding = extra / 2;
      return step;
    });
    return conv2_->forward(inner, shortcut, train);
  }

 private:
  int64_t in_, out_, stride_;
  std::shared_ptr<ConvNorm> conv1_, conv2_;
};

/// The image-level router of a robust MoE-CNN: a network of its own over the raw image.
/// Shapes: images [B, C, H, W] → [B, E].
/// Cost:   resnet20: 40.6 M multiply-adds at 3×32×32; small: 0.02 … 0.1 M at 1×28×28 by `width`.
/// Source: Zhang et al. 2023, arXiv 2308.10110 (resnet20, option A shortcuts); `small` is ours, for 28×28
///         images: three stride-2 convolutions, kept below a fifth of the pathway's cost.
class CnnGate : public Gate {
 public:
  static constexpr const char* kSummary =
      "a small CNN over the raw image: one decision for the whole network";
  static constexpr const char* kSource = "Zhang et al. 2023, arXiv 2308.10110";
  static constexpr GateTraits kTraits = [] {
    GateTraits traits;
    traits.images = true;
    return traits;
  }();
  struct Options : OptionSet {
    std::string arch = "resnet20";
    int64_t width = 0;
    void fields(OptionVisitor& v) override {
      v.text("arch", arch, "resnet20 (CIFAR form) or small (three stride-2 convolutions)",
             {"resnet20", "small"});
      v.integer("width", width, "channels of the first stage; 0: 16 for resnet20, 8 for small", 0, 4096);
    }
  };

  CnnGate(const Options& options, const Context& context)
      : channels_(context.width), experts_(context.experts) {
    const Rng rng = Rng(context.seed).fork("gates/cnn");
    if (options.arch == "resnet20") {
      build_resnet20(options.width > 0 ? options.width : 16, rng);
    } else {
      build_small(options.width > 0 ? options.width : 8, rng);
    }
    weight_ =
        register_parameter("head_weight", ops::default_uniform(rng.fork("head"), {experts_, features_}));
    bias_ = register_parameter("head_bias", at::zeros({experts_}));
  }

  at::Tensor forward(const at::Tensor& x) override { return score(x, {}); }

  at::Tensor score(const at::Tensor& x, const RouterInputs& inputs) override {
    GW_CHECK(x.dim() == 4 && x.size(1) == channels_,
             "gates/cnn: expected images [B, {}, H, W], got {} dimensions", channels_, x.dim());
    auto y = x;
    for (auto& conv : convs_) y = conv->forward(y, {}, inputs.train);
    for (auto& block : blocks_) y = block->forward(y, inputs.train);
    return ops::linear(ops::channel_means(y), weight_, bias_);
  }

  bool takes_images() const override { return true; }

 private:
  void add_conv(const std::string& name, ConvNormShape shape, const Rng& rng) {
    shape.paper_init = false;
    convs_.push_back(register_module(name, std::make_shared<ConvNorm>(shape, rng.fork(name))));
  }

  void build_resnet20(int64_t width, const Rng& rng) {
    add_conv("stem", {channels_, width, 3, 1}, rng);
    int64_t in = width;
    for (int64_t stage = 0; stage < 3; ++stage) {
      for (int64_t b = 0; b < 3; ++b) {
        const int64_t out = width << stage, stride = stage > 0 && b == 0 ? 2 : 1;
        const auto name = "stage" + std::to_string(stage + 1) + "_" + std::to_string(b + 1);
        blocks_.push_back(
            register_module(name, std::make_shared<OptionABlock>(in, out, stride, rng.fork(name))));
        in = out;
      }
    }
    features_ = in;
  }

  void build_small(int64_t width, const Rng& rng) {
    add_conv("conv1", {channels_, width, 3, 2}, rng);
    add_conv("conv2", {width, 2 * width, 3, 2}, rng);
    add_conv("conv3", {2 * width, 2 * width, 3, 2}, rng);
    features_ = 2 * width;
  }

  int64_t channels_, experts_, features_ = 0;
  std::vector<std::shared_ptr<ConvNorm>> convs_;
  std::vector<std::shared_ptr<OptionABlock>> blocks_;
  at::Tensor weight_, bias_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Gate, gw::CnnGate);
