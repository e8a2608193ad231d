#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/dispersion.h"
#include "gatewright/models/graph_blocks.h"

namespace gw::inline models {
namespace {

/// A weak expert on a node's own values and a strong one on the graph; how sure the weak one is decides.
/// Math:   z_w = mlp(x_i), z_s = layers over the graph at i; c = σ(g(v, h)) or σ(g(v, h, x_i)), g a small mlp
/// of
///         the weak answer's dispersion: v = Var(p) / Var(one-hot), h = 1 − H(p) / ln C of p = softmax(z_w).
///         Training answers c z_w + (1 − c) z_s; evaluation log(c softmax(z_w) + (1 − c) softmax(z_s)).
///         With `sure` below 1 nodes of that confidence are the weak expert's alone in evaluation; without
///         gradients the strong one is then computed for the others and what these depend on.
///         With task expert_classification's loss = "each" the experts are taught c and 1 − c of the loss.
///         The gradient flows through the dispersion into the weak expert.
/// Shapes: common "x" [V, D] and lists of edges, "node" [B] → [B, C], ExpertUse of two experts.
/// Errors: ValueError for fewer than 2 classes.
/// Cost:   both experts and the gate; the strong one over the whole graph, unless `sure` leaves nodes out.
/// Source: Mowst (Zeng et al. 2024, arXiv 2311.05185) as its published code has it; differs: experts and gate
///         are trained together from the start, without pre-training or turns; the evaluation takes softmax
///         once.
class Mowst : public Model {
 public:
  static constexpr const char* kSummary =
      "weak expert on a node alone, strong one on its graph, a gate by confidence";
  static constexpr const char* kSource = "arXiv 2311.05185";
  struct Options : GraphForm {
    std::string gate = "dispersion";
    double confidence = 0.5, sure = 1;
    void fields(OptionVisitor& v) override {
      GraphForm::fields(v);
      v.text("gate", gate, "what it sees of a node; constant: `confidence` for all, which is an ensemble",
             {"dispersion", "dispersion_and_values", "constant"});
      v.real("confidence", confidence, "in the weak expert, of a constant gate", 0, 1);
      v.real("sure", sure,
             "in evaluation the weak expert answers alone from this confidence on, and the strong one is "
             "computed for the others only; 1: never",
             0, 1);
    }
  };

  Mowst(const Options& options, const Context& context)
      : Model("Mowst"), options_(options), context_(context) {
    GW_CHECK(
        context.data.inputs > 0 && !context.answer.per_token && context.answer.width >= 2,
        "networks/mowst: expected data of nodes with values and a task of at least 2 classes, got something "
        "else; take graph or block_graph, and expert_classification");
    GW_CHECK(options.kind != "mlp",
             "networks/mowst: expected a strong expert that sees edges, got kind \"mlp\"");
    const Rng rng = Rng(context.seed).fork("networks/mowst");
    const auto inputs = context.data.inputs, classes = context.answer.width;
    GraphForm weak = options, gate = options;
    weak.kind = gate.kind = "mlp";
    weak_ = register_module("weak", std::make_shared<GraphStack>(weak, inputs, classes, rng.fork("weak")));
    strong_ =
        register_module("strong", std::make_shared<GraphStack>(options, inputs, classes, rng.fork("strong")));
    if (options.gate == "constant") return;
    const auto seen = 2 + (options.gate == "dispersion" ? 0 : inputs);
    auto router = register_module("router", std::make_shared<torch::nn::Module>());
    gate_ = router->register_module("gate", std::make_shared<GraphStack>(gate, seen, 1, rng.fork("gate")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& x = batch.whole("x");
    const auto& node = batch.at("node");
    const auto edges = edge_lists(batch);
    const bool train = pass.training(is_training());
    const Rng draws = pass.rng.fork("networks/mowst");
    const auto own = x.index_select(0, node);
    const auto weak = weak_->forward(own, nullptr, train, draws.fork("weak"));
    auto c = confidence(weak, own, train, draws.fork("gate"));
    const bool skips = !train && options_.sure < 1 && !at::GradMode::is_enabled();
    const auto strong = skips
                            ? where_unsure(x, edges, node, weak, c)
                            : strong_->forward(x, &edges, train, draws.fork("strong")).index_select(0, node);
    if (!train && options_.sure < 1) c = at::where(c.ge(options_.sure), at::ones_like(c), c);
    auto use = std::make_shared<ExpertUse>();
    use->experts = {"weak", "strong"}, use->answers = {weak, strong};
    use->gates = {{"confidence", {0, 1}, {0, 1}, at::cat({c, 1 - c}, 1)}};
    if (train) return {c * weak + (1 - c) * strong, {}, use};
    const auto mixed = c * at::softmax(weak, 1) + (1 - c) * at::softmax(strong, 1);
    return {at::log(mixed.clamp_min(1e-30)), {}, use};
  }

  Batch example(int64_t count, const Rng& rng) const override {
    return example_graph(count, context_.data.inputs, context_.data.degree, rng);
  }
  bool routed() const override { return false; }  // both experts answer for every node

 private:
  /// The strong expert's answers where the weak one is not sure, elsewhere the weak one's.
  at::Tensor where_unsure(const at::Tensor& x, const ops::EdgeLists& edges, const at::Tensor& node,
                          const at::Tensor& weak, const at::Tensor& c) {
    const auto unsure = c.lt(options_.sure).flatten().nonzero().flatten();
    if (unsure.numel() == 0) return weak;
    return weak.index_copy(0, unsure, strong_->at_nodes(x, &edges, node.index_select(0, unsure)));
  }

  at::Tensor confidence(const at::Tensor& weak, const at::Tensor& own, bool train, const Rng& draws) {
    if (!gate_) return at::full({weak.size(0), 1}, options_.confidence, weak.options());
    auto seen = dispersion(weak);
    if (options_.gate == "dispersion_and_values") seen = at::cat({seen, own}, 1);
    return at::sigmoid(gate_->forward(seen, nullptr, train, draws));
  }

  Options options_;
  Context context_;
  std::shared_ptr<GraphStack> weak_, strong_, gate_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Mowst);
