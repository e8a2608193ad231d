#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/mixture/router.h"
#include "gatewright/models/model.h"
#include "gatewright/models/quantile_embedding.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Rows of a table through perceptrons that share one width, weighed by a gate under Gumbel noise.
/// Math:   z = quantile embeddings of the numbers beside the columns of 0 and 1; y = Σ_e α_e(z)·f_e(z), α the
///         policy's weights of gate(z), f_e: `depth` times h ← dropout(relu(h W)), then h W; every hidden
///         layer of an expert is width / experts wide.
/// Shapes: x [B, D] → [B, answer].
/// Errors: ValueError for a width that the experts do not divide, and for gates over images and soft plans.
/// Cost:   all experts for every row: |z|·width + (depth − 1)·width²/experts + width·answer multiply-adds,
///         so that a mixture of E has 1/E of the hidden weights of one perceptron of this width.
/// Source: Chernov 2025, arXiv 2502.03608 (GG MoE; policies/dense_softmax makes its MoE, experts = 1 its
///         MLP); differs: weights start in U(±1/√in), the released code takes the width of the output there;
///         evaluation draws the same noise for all rows (`common` of policies/gumbel_softmax).
class GgMoe : public Model {
 public:
  static constexpr const char* kSummary =
      "quantile embeddings, perceptrons of one shared width, a gate under Gumbel noise: rows of a table";
  static constexpr const char* kSource = "Chernov 2025, arXiv 2502.03608";
  struct Options : OptionSet {
    int64_t width = 128, experts = 8, depth = 2, bins = 16, embedding = 8;
    double dropout = 0;
    bool bias = false;
    PartChoice gate = {"linear", {{"bias", true}}};
    PartChoice policy = {"gumbel_softmax", {{"samples", 10}, {"common", true}}};
    std::vector<PartChoice> balancers;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "hidden width of all experts together", 1, 1 << 16);
      v.integer("experts", experts, "perceptrons that share it; 1: no gate", 1, 4096);
      v.integer("depth", depth, "hidden layers", 1, 64);
      v.integer("bins", bins, "quantile bins of each number; 0: the numbers themselves", 0, 1024);
      v.integer("embedding", embedding, "width of each number's embedding", 1, 1024);
      v.real("dropout", dropout, "share of hidden values left out while training", 0, 0.95);
      v.flag("bias", bias, "biases in the experts; the paper's have none");
      v.part("gate", gate, "part of the gates catalogue, for tokens");
      v.part("policy", policy,
             "part of the policies catalogue; every expert is computed whatever it chooses");
      v.parts("balancers", balancers, "parts of the balancers catalogue");
    }
  };

  GgMoe(const Options& options, const Context& context) : Model("GgMoe"), o_(options) {
    const auto& data = context.data;
    GW_CHECK(data.inputs > 0,
             "networks/gg_moe: expected data with the field \"x\", got none; take mixed_table");
    GW_CHECK(!context.answer.per_token,
             "networks/gg_moe: expected a task with one answer for each row, got one for each token");
    GW_CHECK(o_.width % o_.experts == 0,
             "networks/gg_moe: expected a \"width\" that {} experts divide, got {}; take {}", o_.experts,
             o_.width, (o_.width / o_.experts + 1) * o_.experts);
    inputs_ = data.inputs;
    split_columns(data.numeric);
    const Rng rng = Rng(context.seed).fork("networks/gg_moe");
    const int64_t numbers = numeric_.numel();
    if (o_.bins > 0 && numbers > 0)
      embedding_ = register_module("embedding", std::make_shared<QuantileEmbedding>(
                                                    numbers, o_.bins, o_.embedding, rng.fork("embedding")));
    seen_ = embedding_ ? inputs_ + numbers * (o_.embedding - 1) : inputs_;
    add_layers(context.answer.width, rng);
    if (o_.experts > 1) add_router(rng.fork("router").key());
  }

  void prepare(const TensorSet& train) override {
    if (embedding_) embedding_->prepare(train.at("x").index_select(1, numeric_));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& x = batch.at("x");
    GW_CHECK(x.dim() == 2 && x.size(1) == inputs_,
             "networks/gg_moe: expected rows [B, {}], got {} dimensions", inputs_, x.dim());
    const Rng rng = pass.rng.fork("networks/gg_moe");
    const auto z = seen(x);
    const auto each = experts(z, pass.training(is_training()) ? o_.dropout : 0, rng);  // [E, B, answer]
    Output out;
    if (!router_) {
      out.answer = each.squeeze(0);
      return out;
    }
    const auto facts = pass.told({}, rng);
    auto plan = router_->decide(kSite, router_->scores(z, facts), x.size(0), facts, pass, is_training());
    const auto weight = dense_weights(plan).to(each.scalar_type());
    out.answer = (each.transpose(0, 1) * weight.unsqueeze(2)).sum(1);
    out.plans.push_back({kSite, std::move(plan)});
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override { return drawn_rows(count, inputs_, rng); }

  void end_step() override {
    if (router_) router_->end_step();
  }
  bool routed() const override { return o_.experts > 1; }

 private:
  static constexpr const char* kSite = "mixture";

  void split_columns(const std::vector<int64_t>& numeric) {
    std::vector<int64_t> others;
    for (int64_t c = 0; c < inputs_; ++c)
      if (std::find(numeric.begin(), numeric.end(), c) == numeric.end()) others.push_back(c);
    numeric_ = at::tensor(numeric, at::kLong), others_ = at::tensor(others, at::kLong);
  }

  void add_router(uint64_t seed) {
    router_ =
        std::make_unique<Router>(Router::Options{o_.experts, seen_, o_.gate, o_.policy, o_.balancers, seed});
    GW_CHECK(!router_->gate().takes_images(),
             "networks/gg_moe: expected a gate over tokens, got gates/{} over images; take linear",
             o_.gate.name);
    GW_CHECK(
        !router_->policy().traits().soft,
        "networks/gg_moe: expected a policy that weighs experts, got policies/{}, which mixes rows; take "
        "gumbel_softmax",
        o_.policy.name);
    router_->register_in(*this, "gate");
  }

  void add_layers(int64_t answer, const Rng& rng) {
    const int64_t each = o_.width / o_.experts;
    const auto add = [&](int64_t layer, int64_t in, int64_t out) {
      const auto name = std::to_string(layer);
      const auto drawn = ops::default_uniform(rng.fork("layer", static_cast<uint64_t>(layer)),
                                              {o_.experts * out, in});  // rows of fan-in `in`
      weights_.push_back(register_parameter("weight" + name, drawn.view({o_.experts, out, in})));
      if (o_.bias) biases_.push_back(register_parameter("bias" + name, at::zeros({o_.experts, 1, out})));
    };
    for (int64_t layer = 0; layer < o_.depth; ++layer) add(layer, layer == 0 ? seen_ : each, each);
    add(o_.depth, each, answer);
  }

  at::Tensor seen(const at::Tensor& x) const {
    if (!embedding_) return x;
    const auto numbers = embedding_->forward(x.index_select(1, numeric_));
    return others_.numel() == 0 ? numbers : at::cat({numbers, x.index_select(1, others_)}, 1);
  }

  at::Tensor experts(const at::Tensor& z, double dropout, const Rng& rng) const {
    const int64_t rows = z.size(0), count = o_.experts;
    at::Tensor h;
    for (size_t layer = 0; layer < weights_.size(); ++layer) {
      const auto& w = weights_[layer];
      if (layer == 0) {  // one product for all experts, which see the same rows
        const auto bias = o_.bias ? biases_[0].flatten() : at::Tensor();
        h = ops::linear(z, w.flatten(0, 1), bias).view({rows, count, w.size(1)}).transpose(0, 1);
      } else {
        ops::CostRecorder::add(rows * w.numel());
        h = o_.bias ? at::baddbmm(biases_[layer], h, w.transpose(1, 2)) : at::bmm(h, w.transpose(1, 2));
      }
      if (layer + 1 == weights_.size()) break;
      h = at::relu(h);
      if (dropout > 0) {
        const auto draw = ops::uniform(rng.fork("dropout", layer), h.sizes(), 0, 1).to(h.scalar_type());
        h = h * draw.ge(dropout) * (1 / (1 - dropout));
      }
    }
    return h;
  }

  Options o_;
  int64_t inputs_ = 0, seen_ = 0;
  at::Tensor numeric_, others_;
  std::shared_ptr<QuantileEmbedding> embedding_;
  std::unique_ptr<Router> router_;
  std::vector<at::Tensor> weights_, biases_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::GgMoe);
