#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/graph_blocks.h"
#include "gatewright/models/graph_prompts.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/select.h"

namespace gw::inline models {
namespace {

/// Experts on graphs, each with a prompt beside every node's values. Whoever predicts its edges best fits a
/// graph.
/// Math:   z_m = stack_m([x ; p_m]) over the graph; L_gm = edge_prediction_loss of z_m on graph g, scores
///         s_gm = −L_gm; w_g = softmax(s_g / temperature) over the k best. Training answers
///         log Σ_m w_gm softmax(head(z_m)), evaluation the same by confidence: weights of the k chosen are
///         1 − H(softmax(head(z_m))) / ln C, normalised. The plan is of graphs, and brings the losses
///         "orthogonality" λ Σ_{i≠j} cos²(p_i, p_j), and with `edges` "edge_prediction" mean_g Σ_m w_gm L_gm.
///         Scores and weights carry no gradient. tune "prompts": stacks stand still, as in evaluation, and
///         prompts and head learn; "head": the head alone.
/// Shapes: common "x" [V, D], edges and perhaps "graph_offsets", "node" [B] → [B, C], ExpertUse.
/// Errors: ValueError for other data, fewer than 2 classes, k above the experts, and kind "mlp".
/// Cost:   all experts on the whole graph at each pass, whatever k: the route is found by asking all.
/// Source: GMoPE (2025), reconstructed: its code is not public and a description is what was at hand. Ours:
///         weights without a gradient, one head for all experts, wrong ends drawn within a graph, and the
///         same ones at every evaluation.
class Gmope : public Model, public PromptBank {
 public:
  static constexpr const char* kSummary =
      "experts with prompts on graphs, routed by how well they predict edges";
  static constexpr const char* kSource = "GMoPE, 2025 (reconstruction)";
  struct Options : GraphForm {
    int64_t experts = 3, prompt = 6, k = 2;
    double temperature = 0.8, orthogonality = 1;
    bool edges = false;
    std::string tune = "all";
    // A norm over the nodes would take off again what a prompt adds to all of them.
    Options() { width = 64, layers = 3, dropout = 0, norm = false; }
    void fields(OptionVisitor& v) override {
      GraphForm::fields(v);
      v.integer("experts", experts, "stacks with a prompt each", 1, 64);
      v.integer("prompt", prompt, "values of a prompt", 1, 4096);
      v.integer("k", k, "experts that a graph is routed to", 1, 64);
      v.real("temperature", temperature, "of the weights by the losses", 1e-3, 1e3);
      v.real("orthogonality", orthogonality, "price of prompts that are alike", 0, 1e3);
      v.flag("edges", edges, "edges are learned: pre-training, which needs no labels (task own_losses)");
      v.text("tune", tune, "what learns", {"all", "prompts", "head"});
    }
  };

  Gmope(const Options& options, const Context& context) : Model("Gmope"), o_(options), context_(context) {
    GW_CHECK(context.data.inputs > 0 && !context.answer.per_token && context.answer.width >= 2,
             "networks/gmope: expected data of nodes with values and at least 2 classes, got something else; "
             "take graph or graph_families");
    GW_CHECK(options.kind != "mlp", "networks/gmope: expected experts that see edges, got kind \"mlp\"");
    GW_CHECK(options.k <= options.experts, "networks/gmope: expected \"k\" up to {} experts, got {}",
             options.experts, options.k);
    const Rng rng = Rng(context.seed).fork("networks/gmope");
    const auto inputs = context.data.inputs + options.prompt;
    for (int64_t m = 0; m < options.experts; ++m) {
      experts_.push_back(
          register_module("expert" + std::to_string(m),
                          std::make_shared<GraphStack>(options, inputs, options.width,
                                                       rng.fork("expert", static_cast<uint64_t>(m)))));
      for (auto& weight : experts_.back()->parameters()) weight.requires_grad_(options.tune == "all");
    }
    prompts_ = register_parameter("prompts",
                                  ops::normal(rng.fork("prompts"), {options.experts, options.prompt}, 0, 1));
    prompts_.requires_grad_(options.tune != "head");
    head_ = register_module("head",
                            std::make_shared<Linear>(options.width, context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& edge = batch.whole("edge");
    const auto& node = batch.at("node");
    const auto nodes = graphs_of(batch);
    const auto lists = edge_lists(batch);
    const bool train = pass.training(is_training());
    const Rng draws = (train ? pass.rng : Rng(0)).fork("networks/gmope");
    const auto wrong = wrong_ends(edge, nodes, draws.fork("wrong"));
    auto use = std::make_shared<ExpertUse>();
    std::vector<at::Tensor> losses;
    for (int64_t m = 0; m < o_.experts; ++m) {
      const auto z =
          embedding(m, batch.whole("x"), lists, train, draws.fork("expert", static_cast<uint64_t>(m)));
      losses.push_back(edge_prediction_loss(z, edge, wrong, nodes));
      use->experts.push_back("expert " + std::to_string(m));
      use->answers.push_back(head_->forward(z.index_select(0, node)));
    }
    auto plan = routed(at::stack(losses, 1));
    const auto weight = dense_weights(plan).index_select(0, nodes.graph.index_select(0, node));
    const auto given = train ? weight : confident(use->answers, weight);
    use->gates = {{"graph", places(), {}, given}};
    return {mixed(use->answers, given), {{"graphs", std::move(plan)}}, use};
  }

  Batch example(int64_t count, const Rng& rng) const override {
    return example_graph(count, context_.data.inputs, context_.data.degree, rng);
  }
  bool routed() const override { return false; }  // all experts compute
  const at::Tensor& prompts() const override { return prompts_; }

 private:
  at::Tensor embedding(int64_t m, const at::Tensor& x, const ops::EdgeLists& edges, bool train,
                       const Rng& draws) {
    const auto prompt = prompts_[m].expand({x.size(0), o_.prompt});
    return experts_[static_cast<size_t>(m)]->forward(at::cat({x, prompt}, 1), &edges,
                                                     train && o_.tune == "all", draws);
  }

  /// The plan of the graphs by the losses [G, M], with the losses that teach.
  RoutingPlan routed(const at::Tensor& losses) const {
    const auto scores = -losses.detach();
    const auto chosen = top_k(scores, o_.k);
    const auto weight = at::softmax(scores.gather(1, chosen) / o_.temperature, 1);
    auto plan = make_plan(chosen, weight, o_.experts);
    plan.scores = scores;
    if (o_.experts > 1 && o_.orthogonality > 0)
      plan.aux["orthogonality"] = orthogonality_loss(prompts_) * o_.orthogonality;
    if (o_.edges) plan.aux["edge_prediction"] = (losses.gather(1, chosen) * weight).sum(1).mean();
    return plan;
  }

  /// The chosen by how sure their answers are.
  at::Tensor confident(const std::vector<at::Tensor>& answers, const at::Tensor& weight) const {
    std::vector<at::Tensor> sure;
    for (const auto& z : answers) {
      const auto p = at::softmax(z, 1);
      const auto entropy = -(p * at::log_softmax(z, 1)).sum(1);
      sure.push_back((1 - entropy / std::log(static_cast<double>(z.size(1)))).clamp_min(1e-6));
    }
    const auto kept = at::stack(sure, 1) * weight.gt(0);
    return kept / kept.sum(1, true);
  }

  static at::Tensor mixed(const std::vector<at::Tensor>& answers, const at::Tensor& weight) {
    at::Tensor sum;
    for (size_t m = 0; m < answers.size(); ++m) {
      const auto one = at::softmax(answers[m], 1) * weight.narrow(1, static_cast<int64_t>(m), 1);
      sum = sum.defined() ? sum + one : one;
    }
    return at::log(sum.clamp_min(1e-30));
  }

  std::vector<int64_t> places() const {
    std::vector<int64_t> all;
    for (int64_t m = 0; m < o_.experts; ++m) all.push_back(m);
    return all;
  }

  Options o_;
  Context context_;
  std::vector<std::shared_ptr<GraphStack>> experts_;
  at::Tensor prompts_;
  std::shared_ptr<Linear> head_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Gmope);
