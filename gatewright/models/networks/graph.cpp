#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/graph_blocks.h"

namespace gw::inline models {
namespace {

/// Layers over a graph that every batch sees whole, read out at the nodes that the batch asks about.
/// Shapes: common "x" [V, D] and lists of edges, "node" [B] → [B, width].
class GraphNetwork : public Model {
 public:
  static constexpr const char* kSummary =
      "nodes of a graph: gcn, sage or gin layers, or mlp without the edges";
  static constexpr const char* kSource = "";
  struct Options : GraphForm {};

  GraphNetwork(const Options& options, const Context& context) : Model("GraphNetwork"), context_(context) {
    GW_CHECK(context.data.inputs > 0 && !context.answer.per_token,
             "networks/graph: expected data of nodes with values and one answer for each, got something "
             "else; take "
             "graph or block_graph");
    stack_ = register_module("stack",
                             std::make_shared<GraphStack>(options, context.data.inputs, context.answer.width,
                                                          Rng(context.seed).fork("networks/graph")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& x = batch.whole("x");
    const auto& node = batch.at("node");
    const bool train = pass.training(is_training());
    const Rng draws = pass.rng.fork("networks/graph");
    if (!stack_->sees_edges()) return {stack_->forward(x.index_select(0, node), nullptr, train, draws), {}};
    const auto edges = edge_lists(batch);
    return {stack_->forward(x, &edges, train, draws).index_select(0, node), {}};
  }

  Batch example(int64_t count, const Rng& rng) const override {
    return example_graph(count, context_.data.inputs, context_.data.degree, rng);
  }
  bool routed() const override { return false; }

 private:
  Context context_;
  std::shared_ptr<GraphStack> stack_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::GraphNetwork);
