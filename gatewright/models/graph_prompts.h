#pragma once
// What experts with prompts on graphs are made of: how well they predict edges, and how alike prompts are.
#include <ATen/core/Tensor.h>

#include "gatewright/base/rng.h"
#include "gatewright/data/batch.h"

namespace gw::inline models {

/// Which graph each node belongs to, where several lie side by side.
struct GraphsOfNodes {
  at::Tensor graph;    ///< [V] int64
  at::Tensor offsets;  ///< [G + 1] int64: the nodes of a graph follow each other
  int64_t graphs() const { return offsets.numel() - 1; }
};
/// From the common field "graph_offsets"; without it all nodes are of one graph.
/// Errors: ValueError for offsets that do not rise from 0 to V.
GraphsOfNodes graphs_of(const TensorSet& batch);

/// For every edge [2, m] a node of the same graph in place of its second: [m].
at::Tensor wrong_ends(const at::Tensor& edge, const GraphsOfNodes& nodes, const Rng& draws);

/// How badly embeddings tell the edges of each graph from edges with a wrong end.
/// Math:   s(u, v) = z_u·z_v / √d; L_g = mean over the edges (u, v) of g of
///         (softplus(−s(u, v)) + softplus(s(u, v'))) / 2; 0 for a graph without edges.
/// Shapes: z [V, d], edge [2, m], wrong [m] → [G]. Grad: z.
at::Tensor edge_prediction_loss(const at::Tensor& z, const at::Tensor& edge, const at::Tensor& wrong,
                                const GraphsOfNodes& nodes);

/// Math:   Σ_{i≠j} (p_i·p_j / (|p_i| |p_j|))², of prompts [M, d]. Grad: prompts.
at::Tensor orthogonality_loss(const at::Tensor& prompts);
/// Mean |cos| of two prompts; 0 for one.
double mean_cosine(const at::Tensor& prompts);

/// A model with a bank of prompts, one for each expert.
class PromptBank {
 public:
  virtual ~PromptBank() = default;
  virtual const at::Tensor& prompts() const = 0;  ///< [M, d]
};

}  // namespace gw::inline models
