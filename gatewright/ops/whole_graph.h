#pragma once
// Sums over the neighbours of every node of a graph.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace gw::ops {

/// The edges of V nodes, sorted by the node that they end in, and once more by the one that they start from.
/// All int64: offsets [V + 1], nodes [m]. Made by make_edge_lists.
struct EdgeLists {
  at::Tensor in_offsets, in_source;    ///< node i hears in_source[in_offsets[i] … in_offsets[i + 1])
  at::Tensor out_offsets, out_target;  ///< and is heard by these
  int64_t nodes() const { return in_offsets.numel() - 1; }
  int64_t edges() const { return in_source.numel(); }
};

/// `edge` [2, m] int64: from, to. Errors: ValueError for another shape or dtype, and for an edge of a node
/// outside [0, nodes), naming it. Cost: two counting sorts.
EdgeLists make_edge_lists(const at::Tensor& edge, int64_t nodes);

/// y_i = Σ x_j over the edges j → i.
/// Shapes: x [V, D] f32 or f64 → [V, D].
/// Errors: ValueError for other shapes and dtypes.
/// Cost:   m·D additions, counted by CostRecorder; the same bits for any number of threads.
/// Grad:   x, to first order: the same sum over the edges turned round.
at::Tensor neighbour_sum(const at::Tensor& x, const EdgeLists& edges);

/// What layers that walk along edges have to compute to answer for some nodes alone.
struct NodeField {
  at::Tensor node;             ///< [n_0] nodes that the first layer reads; those of later layers begin it
  std::vector<int64_t> count;  ///< [layers + 1] n_0 ≥ n_1 ≥ …: rows before each layer, and behind the last
  at::Tensor offsets, source;  ///< as EdgeLists, of the first n_1 of them, by places in `node`
  at::Tensor degree;           ///< [n_0] edges into each in the whole graph
  at::Tensor row;              ///< [asked] place of each node that was asked for
};
/// Errors: ValueError for nodes that are not [B] int64 within the graph. Cost: O(V + edges into the field).
NodeField node_field(const EdgeLists& edges, const at::Tensor& node, int64_t layers);
/// y_i = Σ x_j over the edges j → i of the first `targets` places of a field, in the order of
/// neighbour_sum; without gradients. Shapes: x [n, D] → [targets, D]. Cost: as there, of these edges.
at::Tensor field_sum(const at::Tensor& x, const NodeField& field, int64_t targets);

}  // namespace gw::ops
