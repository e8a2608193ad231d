#include "gatewright/models/continual_layers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "gatewright/base/check.h"

namespace gw::inline models {

void ContinualOptions::fields(OptionVisitor& v) {
  v.integer("width", width, "width of a token", 1, 1 << 16);
  v.integer("depth", depth, "blocks of a convolution and a mixture", 0, 64);
  v.integer("kernel", kernel, "tokens that a convolution sees", 1, 1024);
  v.integer("growth", growth, "the dilation of a block over that of the one before", 1, 16);
  v.flag("centred", centred, "convolutions look as far ahead as back, and answers come later by that");
  v.text("attention", attention,
         "of the last layer: each token over those up to it, or a window's tokens over each other",
         {"none", "newest", "all"});
  v.integer("window", window, "tokens that the attention sees", 1, 1 << 16);
  v.integer("heads", heads, "of the attention", 1, 1024);
  v.table("mixture", mixture,
          "options of each block's mixture: {experts = 4, gate = …, policy = …, bank = …}; empty: none");
}

at::Tensor FrameChain::through(size_t first, at::Tensor frame) {
  for (size_t l = first; l < layers_.size() && frame.defined(); ++l) frame = layers_[l]->step(frame);
  return frame;
}

at::Tensor FrameChain::finish() {
  for (size_t l = 0; l < layers_.size(); ++l) {
    while (layers_[l]->waiting() > 0) {
      const auto frame = through(l + 1, layers_[l]->step({}));
      if (frame.defined()) return frame;
    }
  }
  return {};
}

void FrameChain::reset() {
  for (auto& layer : layers_) layer->reset();
}

namespace {

/// y ← x + relu(y), in place.
void add_to_relu(const at::Tensor& x, at::Tensor& y) {
  const auto beside = x.contiguous();
  AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "relu", [&] {
    const auto* from = beside.data_ptr<scalar_t>();
    auto* to = y.data_ptr<scalar_t>();
    for (int64_t i = 0; i < y.numel(); ++i) to[i] = from[i] + std::max(to[i], scalar_t{0});
  });
}

/// x ← x + relu(conv(norm(x))): the residual waits for the convolution.
class ResidualConvSteps : public FrameSteps {
 public:
  ResidualConvSteps(std::shared_ptr<RmsNorm> norm, const TimeConv& conv)
      : norm_(std::move(norm)), conv_(conv.steps()), line_(delay_line(conv_->delay())) {}
  int64_t delay() const override { return conv_->delay(); }

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    const auto beside = line_->step(frame);
    auto y = conv_->step(frame.defined() ? norm_->of_frame(frame) : frame);
    if (y.defined()) add_to_relu(beside, y);
    return y;
  }
  void forget() override { conv_->reset(), line_->reset(); }

 private:
  std::shared_ptr<RmsNorm> norm_;
  std::unique_ptr<FrameSteps> conv_, line_;
};

class MixtureSteps : public FrameSteps {
 public:
  MixtureSteps(std::shared_ptr<MixtureBlocks> mixtures, int64_t index)
      : mixtures_(std::move(mixtures)), index_(index) {}

 protected:
  at::Tensor pushed(const at::Tensor& frame) override { return mixtures_->step(index_, frame); }
  void forget() override {}

 private:
  std::shared_ptr<MixtureBlocks> mixtures_;
  int64_t index_;
};

class ResidualAttentionSteps : public FrameSteps {
 public:
  ResidualAttentionSteps(std::shared_ptr<RmsNorm> norm, std::unique_ptr<FrameSteps> attention)
      : norm_(std::move(norm)), attention_(std::move(attention)) {}

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    auto y = attention_->step(norm_->of_frame(frame));
    add_frame(frame, y);
    return y;
  }
  void forget() override { attention_->reset(); }

 private:
  std::shared_ptr<RmsNorm> norm_;
  std::unique_ptr<FrameSteps> attention_;
};

}  // namespace

ContinualLayers::ContinualLayers(const ContinualOptions& options, const Rng& rng)
    : torch::nn::Module("ContinualLayers"), options_(options) {
  GW_CHECK(!options.centred || options.kernel % 2 == 1,
           "networks/continual: expected an odd \"kernel\" for centred = true, got {}", options.kernel);
  TimeConvShape shape{options.width, options.width, options.kernel, 1, 0};
  for (int64_t i = 0; i < options.depth; ++i) {
    const auto name = std::to_string(i);
    shape.ahead = options.centred ? shape.reach() / 2 : 0;
    norms_.push_back(register_module("norm" + name, std::make_shared<RmsNorm>(options.width)));
    convolutions_.push_back(register_module(
        "conv" + name, std::make_shared<TimeConv>(shape, rng.fork("conv", static_cast<uint64_t>(i)))));
    shape.dilation *= options.growth;
    GW_CHECK(shape.dilation <= 1 << 20,
             "networks/continual: expected dilations up to {}, got {} after {} blocks; lower \"growth\" or "
             "\"depth\"",
             1 << 20, shape.dilation, i + 1);
  }
  if (options.depth > 0 && !options.mixture.empty())
    mixtures_ = register_module(
        "mixtures", std::make_shared<MixtureBlocks>(MixtureBlocks::Options{options.width,
                                                                           options.depth,
                                                                           options.mixture.json(),
                                                                           {},
                                                                           "f32",
                                                                           "networks/continual",
                                                                           rng.fork("mixtures").key()}));
  if (options.attention == "none") return;
  attention_norm_ = register_module("attention_norm", std::make_shared<RmsNorm>(options.width));
  attention_ = register_module(
      "attention",
      std::make_shared<TimeAttention>(options.width, options.heads, options.window, rng.fork("attention")));
}

at::Tensor ContinualLayers::blocks(at::Tensor x, const Pass& pass, std::vector<SitedPlan>& plans) {
  const auto sizes = x.sizes().vec();
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    x = x + at::relu(convolutions_[i]->forward(norms_[i]->forward(x)));
    if (mixtures_ == nullptr) continue;
    RouterInputs nothing;
    x = mixtures_->forward(static_cast<int64_t>(i), x.reshape({-1, options_.width}), nothing, pass, plans)
            .view(sizes);
  }
  return x;
}

at::Tensor ContinualLayers::attended(const at::Tensor& x) const {
  if (attention_ == nullptr) return x;
  return x + attention_->newest(attention_norm_->forward(x));
}

at::Tensor ContinualLayers::last(const at::Tensor& x) const {
  const auto end = x.size(1) - 1;
  if (options_.attention == "all")
    return x.select(1, end) + attention_->mean_of_all(attention_norm_->forward(x));
  return attended(x).select(1, end);
}

FrameChain ContinualLayers::steps() {
  std::vector<std::unique_ptr<FrameSteps>> layers;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    layers.push_back(std::make_unique<ResidualConvSteps>(norms_[i], *convolutions_[i]));
    if (mixtures_ != nullptr)
      layers.push_back(std::make_unique<MixtureSteps>(mixtures_, static_cast<int64_t>(i)));
  }
  if (attention_ != nullptr)
    layers.push_back(std::make_unique<ResidualAttentionSteps>(
        attention_norm_, options_.attention == "all" ? attention_->all_steps() : attention_->newest_steps()));
  return FrameChain(std::move(layers));
}

int64_t ContinualLayers::ahead() const {
  int64_t sum = 0;
  for (const auto& conv : convolutions_) sum += conv->shape().ahead;
  return sum;
}

int64_t ContinualLayers::receptive_field() const {
  int64_t field = attention_ == nullptr ? 1 : attention_->window();
  for (const auto& conv : convolutions_) field += conv->shape().reach();
  return field;
}

void ContinualLayers::end_step() {
  if (mixtures_ != nullptr) mixtures_->end_step();
}

}  // namespace gw::inline models
