#pragma once
// Layers over the nodes of a graph that is seen whole, and the same without edges.
#include <torch/nn/module.h>

#include <functional>

#include "gatewright/data/graph.h"
#include "gatewright/models/model.h"

namespace gw::inline models {

/// How the layers of a stack look at neighbours.
struct GraphForm : OptionSet {
  std::string kind = "gcn";
  int64_t width = 32, layers = 2;
  double dropout = 0.3;
  bool norm = true;
  void fields(OptionVisitor& v) override;
};

/// Layers of one kind with batch normalisation, ReLU and dropout between them.
/// Math:   mlp    y = x W + b
///         gcn    y = D^(−1/2) (A + I) D^(−1/2) x W + b, D the in-degrees with the node itself
///         sage   y = x W + b + mean of the neighbours · W'
///         gin    y = ((1 + ε) x + Σ neighbours) W₁ + b₁, ReLU, W₂ + b₂; ε learned, 0 at first
/// Shapes: x [V, in] with the lists of its edges → [V, out]; mlp takes rows without edges too.
/// Errors: ValueError for a training pass of one row with `norm`.
/// Cost:   a layer: multiply-adds of its products, and an addition for each edge and value. gcn sums after
///         the product where that is narrower.
/// Source: Kipf and Welling 2017 (gcn), Hamilton et al. 2017 (sage, mean), Xu et al. 2019 (gin).
class GraphStack : public torch::nn::Module {
 public:
  GraphStack(const GraphForm& form, int64_t in, int64_t out, const Rng& rng);
  /// `edges` null: of kind mlp alone. `draws` for dropout.
  at::Tensor forward(at::Tensor x, const ops::EdgeLists* edges, bool train, const Rng& draws);
  /// The same in evaluation for some nodes [B] alone, computing what these depend on and no more: [B, out].
  /// Without gradients; bits may differ from forward()'s by the products' number of rows.
  at::Tensor at_nodes(const at::Tensor& x, const ops::EdgeLists* edges, const at::Tensor& node);
  bool sees_edges() const { return form_.kind != "mlp"; }

 private:
  struct Layer {
    at::Tensor weight, bias, second, second_bias;
    at::Tensor epsilon, gamma, beta, mean, var;
  };
  /// Whom the first `targets` rows hear.
  struct Neighbours {
    std::function<at::Tensor(const at::Tensor&)> sum;  // [n, D] → [targets, D]
    at::Tensor degree;                                 // [n, 1]
    int64_t targets = 0;
  };
  at::Tensor layer(const Layer& layer, const at::Tensor& x, const Neighbours& heard) const;
  at::Tensor between(Layer& layer, const at::Tensor& x, bool train) const;

  GraphForm form_;
  std::vector<Layer> layers_;
};

/// A made graph of `count` nodes with about `degree` edges into each, for examples: "node" is every node.
Batch example_graph(int64_t count, int64_t inputs, double degree, const Rng& rng);

}  // namespace gw::inline models
