#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/experts/bank.h"
#include "gatewright/mixture/router.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/model.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {
namespace {

/// Rows of a table through layers that are mixtures of layers: a learned scale of the inputs, a dense layer
/// in front of the gate, experts of one kind. Math:   per layer z = x ∘ a, a ones at the start; g = relu(W z
/// + b), as wide as the experts' answers; y =
///         Σ_e w_e f_e(z), w the policy's weights of gate(g); answer = W y + b of the last layer. With one
///         expert there is no gate: y = f(z).
/// Shapes: x [B, D] → [B, answer].
/// Errors: ValueError for data without "x", gates over images, soft plans and a task of one answer for each
///         token.
/// Cost:   multiply-adds of a row: those of the chosen experts, in·width in front of each gate, and the gate.
/// Source: Inzirillo and Genet 2024, arXiv 2409.15161 (KAMoE): 3 experts, gates/grkan under sigmoids that do
///         not sum to one. gates/grkan with layers = "dense" makes its MoE, experts = 1 its plain network but
///         for the scale of the inputs.
class Kamoe : public Model {
 public:
  static constexpr const char* kSummary =
      "layers that are mixtures of layers, gated by splines: rows of a table";
  static constexpr const char* kSource = "Inzirillo and Genet 2024, arXiv 2409.15161";
  struct Options : OptionSet {
    int64_t width = 25, depth = 1, experts = 3;
    PartChoice bank = "layer", gate = "grkan", policy = {"dense_softmax", {{"score", "sigmoid"}}};
    std::vector<PartChoice> balancers;
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "of each layer's answer", 1, 1 << 16);
      v.integer("depth", depth, "layers", 1, 64);
      v.integer("experts", experts, "of each layer; 1: no gate", 1, 4096);
      v.part("bank", bank, "part of the banks catalogue");
      v.part("gate", gate, "part of the gates catalogue, for tokens");
      v.part("policy", policy, "part of the policies catalogue");
      v.parts("balancers", balancers, "parts of the balancers catalogue");
    }
  };

  Kamoe(const Options& options, const Context& context) : Model("Kamoe"), o_(options) {
    GW_CHECK(context.data.inputs > 0,
             "networks/kamoe: expected data with the field \"x\", got none; take mixed_table");
    GW_CHECK(!context.answer.per_token,
             "networks/kamoe: expected a task with one answer for each row, got one for each token");
    inputs_ = context.data.inputs;
    const Rng rng = Rng(context.seed).fork("networks/kamoe");
    int64_t in = inputs_;
    for (int64_t l = 0; l < o_.depth; ++l) {
      add_layer(l, in, rng.fork("layer", static_cast<uint64_t>(l)));
      in = o_.width;
    }
    head_ = register_module("head", std::make_shared<Linear>(in, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& x = batch.at("x");
    GW_CHECK(x.dim() == 2 && x.size(1) == inputs_, "networks/kamoe: expected rows [B, {}], got {} dimensions",
             inputs_, x.dim());
    Output out;
    auto h = x;
    for (size_t l = 0; l < layers_.size(); ++l) h = forward(layers_[l], l, h, pass, out.plans);
    out.answer = head_->forward(h);
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override { return drawn_rows(count, inputs_, rng); }

  void end_step() override {
    for (auto& layer : layers_)
      if (layer.router) layer.router->end_step();
  }
  bool routed() const override { return o_.experts > 1; }

 private:
  struct Layer {
    at::Tensor scale;
    std::shared_ptr<Linear> front;
    std::shared_ptr<Router> router;
    std::shared_ptr<Bank> bank;
  };

  void add_layer(int64_t index, int64_t in, const Rng& rng) {
    const auto name = "layer" + std::to_string(index);
    auto module = register_module(name, std::make_shared<torch::nn::Module>());
    Layer layer;
    layer.bank = module->register_module(
        "bank", make_chosen<Bank>(o_.bank, {o_.experts, in, o_.width, rng.fork("bank").key()}));
    layer.scale = module->register_parameter("scale", at::ones({in}));
    if (o_.experts > 1) {
      layer.front =
          module->register_module("front", std::make_shared<Linear>(in, o_.width, rng.fork("front")));
      layer.router = std::make_shared<Router>(
          Router::Options{o_.experts, o_.width, o_.gate, o_.policy, o_.balancers, rng.fork("router").key()});
      GW_CHECK(!layer.router->gate().takes_images(),
               "networks/kamoe: expected a gate over tokens, got gates/{} over images; take grkan",
               o_.gate.name);
      GW_CHECK(
          !layer.router->policy().traits().soft,
          "networks/kamoe: expected a policy that weighs experts, got policies/{}, which mixes rows; take "
          "dense_softmax",
          o_.policy.name);
      layer.router->register_in(*module, "gate");
    }
    layers_.push_back(std::move(layer));
  }

  at::Tensor forward(const Layer& layer, size_t index, const at::Tensor& x, const Pass& pass,
                     std::vector<SitedPlan>& plans) {
    const auto z = x * layer.scale;
    if (!layer.router) return layer.bank->run_one(z, 0);
    const auto site = "mixture" + std::to_string(index);
    const auto facts = pass.told({}, pass.rng.fork("networks/kamoe", index));
    const auto scores = layer.router->scores(at::relu(layer.front->forward(z)), facts);
    auto plan = layer.router->decide(site, scores, z.size(0), facts, pass, is_training());
    auto y = layer.bank->mix(z, plan.offsets, plan.token, plan.weight.to(z.scalar_type()));
    plans.push_back({site, std::move(plan)});
    return y;
  }

  Options o_;
  int64_t inputs_ = 0;
  std::vector<Layer> layers_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Kamoe);
