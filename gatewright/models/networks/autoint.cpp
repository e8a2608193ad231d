#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/field_embedding.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/model.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Fields of a row that look at each other: embeddings, interacting layers of multi-head attention with a
/// residual, one linear answer over all fields.
/// Math:   E = field embeddings [M, d]; per layer and head A = softmax(Q Kᵀ) over the fields, O = relu(concat
///         A V + E W_res), Q, K, V = E W. form = "code": Q, K, V and E W_res go through a bias and a ReLU,
///         the products are divided by √(width / heads), and O is layer-normalised (ε 1e-8). Answer = W
///         flatten(O) + b, plus that of a perceptron over flatten(E) where `deep` gives its widths
///         (AutoInt+).
/// Shapes: x [B, D] → [B, answer]; attention [M, M] in evaluation.
/// Errors: ValueError for data without "x", and heads that do not divide the width.
/// Cost:   multiply-adds of a row and layer: M·in·4·width + 2·M²·width.
/// Source: Song et al. 2019, arXiv 1810.11921; the published code (DeepGraphLearning/RecommenderSystems) has
///         the form "code". Differs: embeddings start at a deviation of 0.1 (there 0.01), `bins` and
///         attention = "uniform" are ours.
class AutoInt : public Model {
 public:
  static constexpr const char* kSummary =
      "fields of a row that attend to each other: tables of factors and numbers";
  static constexpr const char* kSource = "Song et al. 2019, arXiv 1810.11921";
  struct Options : OptionSet {
    int64_t embedding = 16, layers = 3, heads = 2, width = 64, bins = 0;
    std::string form = "code", attention = "learned";
    std::vector<double> deep;
    double dropout = 0;
    void fields(OptionVisitor& v) override {
      v.integer("embedding", embedding, "width of each field's vector", 1, 4096);
      v.integer("layers", layers, "interacting layers", 1, 64);
      v.integer("heads", heads, "of each layer", 1, 256);
      v.integer("width", width, "of a layer's answer, all heads together", 1, 1 << 16);
      v.integer("bins", bins, "quantile bins of each number; 0: the value times a vector", 0, 1024);
      v.text("form", form, "biases, ReLUs, a scale and a norm as in the code, or none as in the paper",
             {"code", "paper"});
      v.text("attention", attention, "uniform: every field looks at all alike, to compare with",
             {"learned", "uniform"});
      v.reals("deep", deep, "widths of a perceptron beside the layers (AutoInt+); none: no perceptron", 1,
              1 << 16);
      v.real("dropout", dropout, "share of a layer's values left out while training", 0, 0.95);
    }
  };

  AutoInt(const Options& options, const Context& context) : Model("AutoInt"), o_(options) {
    GW_CHECK(context.data.inputs > 0,
             "networks/autoint: expected data with the field \"x\", got none; take mixed_table");
    GW_CHECK(!context.answer.per_token,
             "networks/autoint: expected a task with one answer for each row, got one for each token");
    GW_CHECK(o_.width % o_.heads == 0,
             "networks/autoint: expected a \"width\" that {} heads divide, got {}; take {}", o_.heads,
             o_.width, (o_.width / o_.heads + 1) * o_.heads);
    inputs_ = context.data.inputs;
    const Rng rng = Rng(context.seed).fork("networks/autoint");
    const auto fields = fields_of(context.data);
    embedding_ = register_module(
        "embedding",
        std::make_shared<FieldEmbedding>(fields, inputs_, FieldEmbedding::Options{o_.embedding, o_.bins},
                                         rng.fork("fields")));
    int64_t in = o_.embedding;
    for (int64_t l = 0; l < o_.layers; ++l) {
      add_layer(l, in, rng.fork("layer", static_cast<uint64_t>(l)));
      in = o_.width;
    }
    head_ = register_module("head", std::make_shared<Linear>(embedding_->fields() * o_.width,
                                                             context.answer.width, rng.fork("head")));
    add_deep(context.answer.width, rng.fork("deep"));
  }

  void prepare(const TensorSet& train) override { embedding_->prepare(train.at("x")); }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& x = batch.at("x");
    GW_CHECK(x.dim() == 2 && x.size(1) == inputs_,
             "networks/autoint: expected rows [B, {}], got {} dimensions", inputs_, x.dim());
    const bool train = pass.training(is_training());
    const Rng rng = pass.rng.fork("networks/autoint");
    const auto embedded = embedding_->forward(x);
    Output out;
    auto h = embedded;
    for (size_t l = 0; l < layers_.size(); ++l) {
      h = interact(layers_[l], h, train ? nullptr : &out.attention);
      if (train && o_.dropout > 0)
        h = h * ops::uniform(rng.fork("dropout", l), h.sizes(), 0, 1).to(h.scalar_type()).ge(o_.dropout) /
            (1 - o_.dropout);
    }
    if (out.attention.defined()) out.attention = out.attention / static_cast<double>(o_.layers);
    out.answer = head_->forward(h.flatten(1));
    if (!deep_.empty()) out.answer = out.answer + deep(embedded.flatten(1));
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override { return drawn_rows(count, inputs_, rng); }

  bool routed() const override { return false; }

 private:
  struct Layer {
    at::Tensor query, key, value, residual;                        // [width, in]
    at::Tensor query_b, key_b, value_b, residual_b, norm, norm_b;  // [width], of form "code"
  };

  void add_layer(int64_t index, int64_t in, const Rng& rng) {
    const auto name = std::to_string(index);
    Layer layer;
    const auto add = [&](const char* what, at::Tensor& weight, at::Tensor& bias) {
      weight = register_parameter(what + name, ops::default_uniform(rng.fork(what), {o_.width, in}));
      if (o_.form == "code") bias = register_parameter(what + ("_bias" + name), at::zeros({o_.width}));
    };
    if (o_.attention == "learned")
      add("query", layer.query, layer.query_b), add("key", layer.key, layer.key_b);
    add("value", layer.value, layer.value_b), add("residual", layer.residual, layer.residual_b);
    if (o_.form == "code") {
      layer.norm = register_parameter("norm" + name, at::ones({o_.width}));
      layer.norm_b = register_parameter("norm_bias" + name, at::zeros({o_.width}));
    }
    layers_.push_back(std::move(layer));
  }

  void add_deep(int64_t answer, const Rng& rng) {
    int64_t in = embedding_->fields() * o_.embedding;
    for (size_t i = 0; i <= o_.deep.size() && !o_.deep.empty(); ++i) {
      const int64_t out = i < o_.deep.size() ? std::llround(o_.deep[i]) : answer;
      deep_.push_back(register_module("deep" + std::to_string(i),
                                      std::make_shared<Linear>(in, out, rng.fork("layer", i))));
      in = out;
    }
  }

  at::Tensor deep(at::Tensor h) const {
    for (size_t i = 0; i < deep_.size(); ++i) {
      h = deep_[i]->forward(h);
      if (i + 1 < deep_.size()) h = at::relu(h);
    }
    return h;
  }

  at::Tensor projected(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& bias) const {
    const auto y = ops::linear(rows, weight, bias);
    return o_.form == "code" ? at::relu(y) : y;
  }

  /// h [B, M, in] → [B, M, width]; adds the mean attention over rows and heads to `seen` where it is wanted.
  at::Tensor interact(const Layer& layer, const at::Tensor& h, at::Tensor* seen) const {
    const int64_t b = h.size(0), m = h.size(1), each = o_.width / o_.heads;
    const auto rows = h.reshape({b * m, h.size(2)});
    const auto by_head = [&](const at::Tensor& y) { return y.view({b, m, o_.heads, each}).transpose(1, 2); };
    const auto value = by_head(projected(rows, layer.value, layer.value_b));
    at::Tensor attention;
    if (layer.query.defined()) {
      const auto query = by_head(projected(rows, layer.query, layer.query_b)),
                 key = by_head(projected(rows, layer.key, layer.key_b));
      const double scale = o_.form == "code" ? 1 / std::sqrt(static_cast<double>(each)) : 1;
      ops::CostRecorder::add(b * m * m * o_.width);
      attention = at::softmax(at::matmul(query, key.transpose(2, 3)) * scale, 3);
    } else {
      attention = at::full({b, o_.heads, m, m}, 1.0 / static_cast<double>(m), h.options());
    }
    if (seen != nullptr) {
      const auto mean = attention.detach().mean(at::IntArrayRef{0, 1});
      *seen = seen->defined() ? *seen + mean : mean;
    }
    ops::CostRecorder::add(b * m * m * o_.width);
    const auto heads = at::matmul(attention, value).transpose(1, 2).reshape({b * m, o_.width});
    auto y = at::relu(heads + projected(rows, layer.residual, layer.residual_b));
    if (layer.norm.defined()) y = at::layer_norm(y, o_.width, layer.norm, layer.norm_b, 1e-8);
    return y.view({b, m, o_.width});
  }

  Options o_;
  int64_t inputs_ = 0;
  std::shared_ptr<FieldEmbedding> embedding_;
  std::vector<Layer> layers_;
  std::vector<std::shared_ptr<Linear>> deep_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::AutoInt);
