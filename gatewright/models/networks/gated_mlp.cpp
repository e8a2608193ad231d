#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/watched_neurons.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// A perceptron whose neurons a context opens and closes.
/// Math:   h ← relu(g ∘ (W h + b)), h ← h / rms(h), g = tanh(max(P_c, 0))², c = "domain" of the row; answer =
///         W h + b. Without gates g = 1.
/// Shapes: "image" [B, C, H, W] or "x" [B, D], "domain" [B] → [B, width of the answer]; without "domain" c is
///         0.
/// Errors: ValueError for a domain that has no context.
/// Source: Barry, Gerstner, Bellec 2023 (GateON), arXiv 2306.01690; differs: no batch statistics, which drift
///         over tasks; rows are brought to a root mean square of 1 instead of a norm of 1; and the share of
///         neurons that a context can open is an option, where symmetric initial weights open a half.
class GatedMlp : public Model, public WatchedNeurons {
 public:
  static constexpr const char* kSummary = "a perceptron whose neurons are opened and closed by a context";
  static constexpr const char* kSource = "GateON, arXiv 2306.01690";
  struct Options : OptionSet {
    int64_t width = 200, layers = 2, contexts = 16;
    double open = 0.3;
    bool gates = true;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "neurons of a hidden layer", 1, 1 << 16);
      v.integer("layers", layers, "hidden", 1, 64);
      v.integer("contexts", contexts, "that there may be", 1, 1 << 16);
      v.flag("gates", gates, "contexts gate the neurons");
      v.real("open", open, "share of the neurons that a context can open; the others stay shut in it", 0.01,
             1);
    }
  };

  GatedMlp(const Options& options, const Context& context)
      : Model("GatedMlp"), o_(options), data_(context.data) {
    GW_CHECK(
        (data_.inputs > 0 || data_.channels > 0) && !context.answer.per_token,
        "networks/gated_mlp: expected images or rows \"x\", and one answer for each, got something else");
    image_ = data_.channels > 0;
    int64_t in = image_ ? data_.channels * data_.height * data_.width : data_.inputs;
    const Rng rng = Rng(context.seed).fork("networks/gated_mlp");
    for (int64_t l = 0; l < o_.layers; ++l) {
      const auto own = rng.fork("layer", static_cast<uint64_t>(l));
      const auto name = std::to_string(l);
      Layer layer;
      const double deviation = std::sqrt(2.0 / static_cast<double>(in));
      layer.weight =
          register_parameter("weight" + name, ops::normal(own.fork("weight"), {o_.width, in}, 0, deviation));
      layer.bias = register_parameter("bias" + name, at::zeros({o_.width}));
      layers_.push_back(layer);
      if (o_.gates) gates_.push_back(register_parameter("context" + name, contexts_at_start(own)));
      in = o_.width;
    }
    head_ = register_module("head", std::make_shared<Linear>(in, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    std::vector<at::Tensor> hidden;
    return watched_answer(batch, pass, hidden);
  }

  Output watched_answer(const Batch& batch, const Pass&, std::vector<at::Tensor>& hidden) override {
    auto h = image_ ? batch.at("image").flatten(1) : batch.at("x");
    const int64_t wanted = layers_[0].weight.size(1);
    GW_CHECK(h.dim() == 2 && h.size(1) == wanted,
             "networks/gated_mlp: expected {} values of each example, got {}", wanted,
             h.dim() == 2 ? h.size(1) : 0);
    const auto context = contexts_of(batch);
    for (size_t l = 0; l < layers_.size(); ++l) {
      ops::CostRecorder::add(h.numel() * o_.width);
      h = at::addmm(layers_[l].bias, h, layers_[l].weight.t());
      if (o_.gates) h = h * at::tanh(gates_[l].clamp_min(0)).square().index_select(0, context);
      h = at::relu(h);
      h = h / (h.square().mean(1, true) + 1e-6).sqrt();
      hidden.push_back(h);
    }
    return {head_->forward(h), {}};
  }

  std::vector<Layer> hidden_layers() const override { return layers_; }
  int64_t contexts() const override { return o_.contexts; }

  Batch example(int64_t count, const Rng& rng) const override {
    Batch batch;
    if (image_)
      batch.fields["image"] =
          ops::uniform(rng.fork("image"), {count, data_.channels, data_.height, data_.width}, 0, 1);
    else
      batch.fields["x"] = ops::normal(rng.fork("x"), {count, data_.inputs}, 0, 1);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }
  bool routed() const override { return false; }

 private:
  /// P: within [0.5, 1] for the neurons that a context opens, −0.5 for the others, where the gate is 0 and
  /// has no gradient.
  at::Tensor contexts_at_start(const Rng& rng) const {
    const auto open = ops::uniform(rng.fork("open"), {o_.contexts, o_.width}, 0, 1).lt(o_.open);
    const auto p = ops::uniform(rng.fork("context"), {o_.contexts, o_.width}, 0.5, 1);
    return at::where(open, p, at::full_like(p, -0.5));
  }

  at::Tensor contexts_of(const Batch& batch) const {
    const auto domain = batch.find("domain");
    if (!o_.gates || !domain.defined()) return at::zeros({batch.size()}, at::kLong);
    GW_CHECK(domain.numel() == 0 ||
                 (domain.min().item<int64_t>() >= 0 && domain.max().item<int64_t>() < o_.contexts),
             "networks/gated_mlp: expected domains below {} contexts, got {}; raise \"contexts\"",
             o_.contexts, domain.max().item<int64_t>());
    return domain;
  }

  Options o_;
  DataSpec data_;
  bool image_ = false;
  std::vector<Layer> layers_;
  std::vector<at::Tensor> gates_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::GatedMlp);
