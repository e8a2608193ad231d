#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/image_varier.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// A denoising autoencoder: answers an image of which it was given a spoilt form, and so makes variations.
/// Math:   "blocks": the image is cut by a grid with a random offset into squares of `block` pixels, each of
///         them hidden with the chance `share`; the network reads the rest and the mask and answers the
///         hidden pixels, the others stay. A variation hides every square once, in round(1 / share) turns, so
///         that no pixel of it was seen when it was answered; of `looks` such answers, each by a grid of its
///         own, each pixel's most surprising one counts: the mean of |x − answer| over its 3x3 neighbours.
///         With keep > 0 pixels stay as they are where no 3x3 neighbour surprises more than that. "noise":
///         the network reads image + noise · N(0, 1) and answers all pixels, which is a variation. ReLU
///         layers of `width` between.
/// Shapes: image [B, C, H, W] → [B, C·H·W]; the draws are those of the pass.
/// Cost:   for each image (2 or 1)·C·H·W·width + (depth − 1)·width² + width·C·H·W multiply-adds; a variation
///         by blocks looks · round(1 / share) times that.
/// Source: Vincent et al. 2008 (both kinds of corruption); ours: hidden squares turn about, and what
///         surprises nobody stays. Such a network is
///         where Struppek et al. 2023, arXiv 2310.06372, have a large pretrained diffusion model.
class Denoiser : public Model, public ImageVarier {
 public:
  static constexpr const char* kSummary = "an autoencoder of spoilt images, which makes variations of them";
  static constexpr const char* kSource = "Vincent et al. 2008";
  struct Options : OptionSet {
    std::string corruption = "blocks";
    int64_t width = 512, depth = 2, block = 7, looks = 1;
    double share = 0.25, noise = 1, keep = 0;
    void fields(OptionVisitor& v) override {
      v.text("corruption", corruption, "what is done to images", {"blocks", "noise"});
      v.integer("width", width, "of the hidden layers", 1, 1 << 16);
      v.integer("depth", depth, "hidden layers", 1, 64);
      v.integer("block", block, "side of a hidden square, in pixels", 1, 1 << 16);
      v.real("share", share, "of the squares that is hidden at a time", 0.01, 0.5);
      v.integer("looks", looks, "blocks: answers to each pixel of a variation, the most surprising counts", 1,
                64);
      v.real("keep", keep, "blocks: pixels whose answer differs by less stay in a variation; 0: none stay", 0,
             1);
      v.real("noise", noise, "deviation of the noise, in units of the brightness range", 1e-3, 100);
    }
  };

  Denoiser(const Options& options, const Context& context)
      : Model("Denoiser"), options_(options), data_(context.data), blocks_(options.corruption == "blocks") {
    const int64_t pixels = data_.channels * data_.height * data_.width;
    GW_CHECK(pixels > 0, "networks/denoiser: expected data with images, got none");
    GW_CHECK(context.answer.width == pixels && !context.answer.per_token,
             "networks/denoiser: expected a task whose answer is the {} numbers of an image, got {}; take "
             "denoising",
             pixels, context.answer.width);
    const Rng rng = Rng(context.seed).fork("networks/denoiser");
    int64_t in = blocks_ ? 2 * pixels : pixels;
    for (int64_t i = 0; i <= options.depth; ++i) {
      const int64_t out = i < options.depth ? options.width : pixels;
      layers_.push_back(
          register_module("layer" + std::to_string(i),
                          std::make_shared<Linear>(in, out, rng.fork("layer", static_cast<uint64_t>(i)))));
      in = out;
    }
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto x = flat(batch.at("image"));
    Output out;
    if (blocks_) {
      const auto hidden = squares(x.size(0), pass.rng).lt(options_.share).to(at::kFloat);
      out.answer = x * (1 - hidden) + hidden * completed(x, hidden);
    } else {
      out.answer = through(x + ops::normal(pass.rng.fork("noise"), x.sizes(), 0, options_.noise));
    }
    return out;
  }

  at::Tensor vary(const at::Tensor& images, const Rng& rng) override {
    const at::NoGradGuard no_grad;
    const auto x = flat(images);
    if (!blocks_)
      return through(x + ops::normal(rng.fork("noise"), x.sizes(), 0, options_.noise)).view(images.sizes());
    auto answer = unseen(x, rng);
    if (options_.looks == 1 && options_.keep == 0) return answer.view(images.sizes());
    auto surprise = surprise_of(x, answer);
    for (int64_t look = 1; look < options_.looks; ++look) {
      const auto other = unseen(x, rng.fork("look", static_cast<uint64_t>(look)));
      const auto more = surprise_of(x, other);
      answer = at::where(more > surprise, other, answer), surprise = at::maximum(surprise, more);
    }
    if (options_.keep > 0) answer = at::where(surprise > options_.keep, answer, x);
    return answer.view(images.sizes());
  }

  Batch example(int64_t count, const Rng& rng) const override {
    Batch batch;
    batch.fields["image"] = ops::uniform(rng, {count, data_.channels, data_.height, data_.width}, 0, 1);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }

  bool routed() const override { return false; }

 private:
  at::Tensor flat(const at::Tensor& images) const {
    GW_CHECK(images.dim() == 4 && images.size(1) == data_.channels && images.size(2) == data_.height &&
                 images.size(3) == data_.width,
             "networks/denoiser: expected images [B, {}, {}, {}], got {}", data_.channels, data_.height,
             data_.width, c10::str(images.sizes()));
    return images.contiguous().flatten(1);
  }

  at::Tensor through(at::Tensor x) const {
    for (size_t i = 0; i < layers_.size(); ++i) {
      x = layers_[i]->forward(x);
      if (i + 1 < layers_.size()) x = x.relu();
    }
    return x;
  }

  /// [B, C·H·W]: every pixel answered from the pixels outside of its square.
  at::Tensor unseen(const at::Tensor& x, const Rng& rng) const {
    const auto turns = static_cast<int64_t>(std::lround(1 / options_.share));
    const auto turn = (squares(x.size(0), rng) * static_cast<double>(turns)).floor();
    auto out = at::zeros_like(x);
    for (int64_t t = 0; t < turns; ++t) {
      const auto hidden = turn.eq(t).to(at::kFloat);
      out = out + hidden * completed(x, hidden);
    }
    return out;
  }

  /// [B, C·H·W]: of each pixel and its neighbours the one that differs most, the same in all channels.
  at::Tensor surprise_of(const at::Tensor& x, const at::Tensor& answer) const {
    const auto apart = (x - answer).abs().view({x.size(0), data_.channels, data_.height, data_.width});
    const auto mean = at::avg_pool2d(apart.amax(1, /*keepdim=*/true), 3, 1, 1, /*ceil_mode=*/false,
                                     /*count_include_pad=*/false);
    return at::max_pool2d(mean, 3, 1, 1).flatten(1).repeat({1, data_.channels});
  }

  at::Tensor completed(const at::Tensor& x, const at::Tensor& hidden) const {
    return through(at::cat({x * (1 - hidden), hidden}, 1));
  }

  /// [count, C·H·W] uniform on [0, 1), one draw for each square, the same in all channels.
  at::Tensor squares(int64_t count, const Rng& rng) const {
    const int64_t side = options_.block, down = data_.height / side + 2, across = data_.width / side + 2;
    const auto value = ops::uniform(rng.fork("square"), {count, down * across}, 0, 1);
    const auto offset = (ops::uniform(rng.fork("offset"), {count, 2}, 0, 1) * static_cast<double>(side))
                            .floor()
                            .to(at::kLong);
    const auto place = [&](int64_t pixels, int64_t axis) {
      return (at::arange(pixels, at::kLong).unsqueeze(0) + offset.select(1, axis).unsqueeze(1))
          .floor_divide(side);
    };
    const auto index =
        place(data_.height, 0).unsqueeze(2) * across + place(data_.width, 1).unsqueeze(1);  // [count, H, W]
    return value.gather(1, index.flatten(1)).repeat({1, data_.channels});
  }

  Options options_;
  DataSpec data_;
  bool blocks_;
  std::vector<std::shared_ptr<Linear>> layers_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Denoiser);
