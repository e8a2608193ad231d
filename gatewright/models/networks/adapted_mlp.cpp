#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/adapted_linear.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// A perceptron that is trained whole, or held still and corrected by a mixture of adapters in every layer.
/// Math:   h ← relu(layer_l(h)) over the hidden layers, answer = head(h); each as AdaptedLinear.
/// Shapes: "image" [B, C, H, W] or "x" [B, D] → [B, width of the answer].
/// Routers see, where the data have domains, "task" and "route" (the domain, modulo the experts).
/// Cost:   B multiply-adds of each weight, and those of the adapters' bank.
/// Errors: ValueError for data of another kind, options that a mixture refuses.
/// Source: Liu and Luo 2024, arXiv 2405.00361, where the layers are a language model's.
class AdaptedMlp : public Model {
 public:
  static constexpr const char* kSummary = "a perceptron, or a frozen one with adapters in every layer";
  static constexpr const char* kSource = "Liu and Luo 2024, arXiv 2405.00361";
  struct Options : OptionSet {
    int64_t width = 128, layers = 2;
    OptionTable adapters;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "neurons of a hidden layer", 1, 1 << 16);
      v.integer("layers", layers, "hidden", 1, 64);
      v.table("adapters", adapters,
              "options of every layer's mixture of adapters: {experts = 4, gate = …, policy = …, bank = "
              "{part = \"lora\", rank = 2}}; empty: none, and the perceptron itself is trained");
    }
  };

  AdaptedMlp(const Options& options, const Context& context)
      : Model("AdaptedMlp"), data_(context.data), image_(context.data.channels > 0) {
    GW_CHECK((data_.inputs > 0 || image_) && !context.answer.per_token,
             "networks/adapted_mlp: expected images or rows \"x\", and one answer for each, got something "
             "else");
    int64_t in = image_ ? data_.channels * data_.height * data_.width : data_.inputs;
    const Rng rng = Rng(context.seed).fork("networks/adapted_mlp");
    for (int64_t l = 0; l <= options.layers; ++l) {
      const bool head = l == options.layers;
      const auto name = head ? "head" : "layer" + std::to_string(l);
      const int64_t out = head ? context.answer.width : options.width;
      layers_.push_back(register_module(
          name, std::make_shared<AdaptedLinear>(in, out, options.adapters.json(), rng.fork(name), name,
                                                "networks/adapted_mlp")));
      in = out;
    }
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    auto h = image_ ? batch.at("image").flatten(1) : batch.at("x");
    RouterInputs inputs;
    if (const auto domain = batch.find("domain"); domain.defined()) {
      tell_domain(inputs, domain, layers_.front()->experts());
    }
    auto own = pass;
    own.rng = pass.rng.fork("networks/adapted_mlp");
    Output out;
    for (size_t l = 0; l < layers_.size(); ++l) {
      h = layers_[l]->forward(h, inputs, own, out.plans);
      if (l + 1 < layers_.size()) h = h.relu();
    }
    out.answer = h;
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override {
    Batch batch;
    if (image_)
      batch.fields["image"] = ops::uniform(rng, {count, data_.channels, data_.height, data_.width}, 0, 1);
    else
      batch.fields["x"] = ops::normal(rng, {count, data_.inputs}, 0, 1);
    if (data_.domains > 0) batch.fields["domain"] = at::arange(count, at::kLong).remainder(data_.domains);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }

  void end_step() override {
    for (auto& layer : layers_) layer->end_step();
  }
  bool routed() const override { return layers_.front()->adapted() && layers_.front()->experts() > 1; }

 private:
  DataSpec data_;
  bool image_;
  std::vector<std::shared_ptr<AdaptedLinear>> layers_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::AdaptedMlp);
