#pragma once
// Sums over the neighbours of every node of a graph.
#include <ATen/core/Tensor.h>

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

}  // namespace gw::ops
