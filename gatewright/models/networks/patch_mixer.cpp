#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Images as patches that are tokens: every patch chooses its experts, as in mixtures for vision.
/// Math:   x_p = W·patch_p + b + place_p; per block x ← x + M·norm(x) with M [P, P] over the patches of an
///         image, then x ← x + mixture(norm(x)); answer = head(mean_p norm(x_p)).
/// Shapes: image [B, C, H, W] → [B, classes]; P = ⌈H / patch⌉·⌈W / patch⌉ tokens an image, black
///         beyond its edges.
/// Errors: ValueError for data without images, and for images of another size.
/// Cost:   multiply-adds of an image: P·C·patch²·D, per block P²·D and P times those of the mixture's bank.
/// Routers see: "sequence" (the image's place in the batch) and "position" (row and column in [−1, 1]).
/// Source: the layer is V-MoE's (Riquelme et al. 2021, arXiv 2106.05974); patches mix by a learned matrix as
///         in Tolstikhin et al. 2021, arXiv 2105.01601, one layer of it.
class PatchMixer : public BlockModel {
 public:
  static constexpr const char* kSummary = "patches of an image as tokens, blocks of mixing and mixture, head";
  static constexpr const char* kSource = "Riquelme et al. 2021, arXiv 2106.05974; Tolstikhin et al. 2021";
  struct Options : OptionSet {
    int64_t patch = 7, width = 64, depth = 1;
    std::string precision = "f32";
    OptionTable mixture{Json{{"experts", 8}, {"bank", {{"part", "mlp"}, {"hidden", 64}}}}};
    void fields(OptionVisitor& v) override {
      v.integer("patch", patch, "side of a patch in pixels", 1, 1024);
      v.integer("width", width, "width D of a patch's token", 1, 1 << 16);
      v.integer("depth", depth, "blocks", 1, 1024);
      visit_precision(v, precision);
      v.table("mixture", mixture,
              "options of each block's mixture: {experts = 8, gate = …, policy = …, bank = …, balancers = "
              "[...]}");
    }
  };

  PatchMixer(const Options& options, const Context& context)
      : BlockModel("PatchMixer"), o_(options), context_(context) {
    const auto& data = context.data;
    GW_CHECK(data.channels > 0,
             "networks/patch_mixer: expected data with the field \"image\", got none; take fashion_mnist");
    GW_CHECK(!context.answer.per_token,
             "networks/patch_mixer: expected a task with one answer for each image, got one for each token");
    rows_ = (data.height + o_.patch - 1) / o_.patch, columns_ = (data.width + o_.patch - 1) / o_.patch;
    const Rng rng = Rng(context.seed).fork("networks/patch_mixer");
    embedding_ = register_module("embedding", std::make_shared<Linear>(data.channels * o_.patch * o_.patch,
                                                                       o_.width, rng.fork("embedding")));
    place_ = register_parameter("place", ops::normal(rng.fork("place"), {patches(), o_.width}, 0, 0.02));
    blocks_ = register_module(
        "blocks", std::make_shared<MixtureBlocks>(MixtureBlocks::Options{o_.width,
                                                                         o_.depth,
                                                                         o_.mixture.json(),
                                                                         {"sequence", "position"},
                                                                         o_.precision,
                                                                         "networks/patch_mixer",
                                                                         rng.fork("blocks").key()}));
    for (int64_t i = 0; i < o_.depth; ++i) {
      const auto name = std::to_string(i);
      norms_.push_back(register_module("norm" + name, std::make_shared<RmsNorm>(o_.width)));
      mixing_.push_back(register_parameter(
          "mixing" + name,
          ops::default_uniform(rng.fork("mixing", static_cast<uint64_t>(i)), {patches(), patches()})));
    }
    last_ = register_module("norm", std::make_shared<RmsNorm>(o_.width));
    head_ =
        register_module("head", std::make_shared<Linear>(o_.width, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& image = batch.at("image");
    const auto& data = context_.data;
    GW_CHECK(image.dim() == 4 && image.size(1) == data.channels && image.size(2) == data.height &&
                 image.size(3) == data.width,
             "networks/patch_mixer: expected images [B, {}, {}, {}], got {}", data.channels, data.height,
             data.width, c10::str(image.sizes()));
    const int64_t b = image.size(0);
    auto inputs = facts(b);
    auto own = pass;
    own.rng = pass.rng.fork("networks/patch_mixer");
    auto x = embedding_->forward(cut(image)).view({b, patches(), o_.width}) + place_;
    Output out;
    for (int64_t i = 0; i < blocks_->depth(); ++i) {
      const auto n = static_cast<size_t>(i);
      const auto by_value = norms_[n]->forward(x).transpose(1, 2).reshape({b * o_.width, patches()});
      x = x + ops::linear(by_value, mixing_[n], {}).view({b, o_.width, patches()}).transpose(1, 2);
      x = blocks_->forward(i, x.reshape({b * patches(), o_.width}), inputs, own, out.plans)
              .view({b, patches(), o_.width});
    }
    out.answer = head_->forward(last_->forward(x).mean(1));
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override {
    const auto& data = context_.data;
    Batch batch;
    batch.fields["image"] =
        ops::uniform(rng.fork("image"), {count, data.channels, data.height, data.width}, 0, 1);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }

 private:
  int64_t patches() const { return rows_ * columns_; }

  /// [B, C, H, W] → [B·P, C·patch²], patches row by row, black beyond the right and lower edge.
  at::Tensor cut(const at::Tensor& image) const {
    const int64_t b = image.size(0), c = image.size(1), p = o_.patch;
    const int64_t below = rows_ * p - image.size(2), beside = columns_ * p - image.size(3);
    const auto whole = below + beside > 0 ? at::constant_pad_nd(image, {0, beside, 0, below}) : image;
    return whole.reshape({b, c, rows_, p, columns_, p})
        .permute({0, 2, 4, 1, 3, 5})
        .reshape({b * patches(), c * p * p});
  }

  RouterInputs facts(int64_t images) const {
    RouterInputs inputs;
    inputs.sequence = at::arange(images, at::kLong).repeat_interleave(patches());
    const auto place = [](int64_t count) { return at::linspace(-1, 1, count); };
    const auto row = place(rows_).repeat_interleave(columns_), column = place(columns_).repeat({rows_});
    inputs.position = at::stack({row, column}, 1).repeat({images, 1});
    return inputs;
  }

  Options o_;
  Context context_;
  int64_t rows_ = 0, columns_ = 0;
  at::Tensor place_;
  std::vector<at::Tensor> mixing_;
  std::vector<std::shared_ptr<RmsNorm>> norms_;
  std::shared_ptr<RmsNorm> last_;
  std::shared_ptr<Linear> embedding_, head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::PatchMixer);
