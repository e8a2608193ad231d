#pragma once
// Graphs as data: every batch sees the whole of them, and asks about some of their nodes.
#include "gatewright/data/csv.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/whole_graph.h"

namespace gw::inline data {

/// What batches of a graph have in `common`: "x" [V, D], "edge" [2, m], and the lists of
/// gatewright/ops/whole_graph.h by their names. Errors: those of make_edge_lists.
std::map<std::string, at::Tensor> graph_common(const at::Tensor& x, const at::Tensor& edge);
/// The lists again. Errors: ValueError for a batch without them.
ops::EdgeLists edge_lists(const TensorSet& batch);

/// Every edge once, in the order of their ends, without those from a node to itself: layers see a node's own
/// values apart from its neighbours'.
at::Tensor proper_edges(const at::Tensor& edge, int64_t nodes);
/// The same of every edge in both directions.
at::Tensor undirected(const at::Tensor& edge, int64_t nodes);

/// Edges [2, m] between the nodes with these names, from a table of names: columns `from` and `to`.
/// Errors: ValueError naming the file and the line for a node that is not among `names`, and for a name that
///         is there twice.
at::Tensor read_edges(const CsvTable& table, const std::string& from, const std::string& to,
                      const std::vector<std::string>& names);

/// Nodes in a seeded order, the last `test_share` of them for the test: sets of the fields "node", those of
/// `fields` [V …] at the nodes, and all of `common`.
void split_nodes(TaskData& data, const TensorSet& fields, const std::map<std::string, at::Tensor>& common,
                 double test_share, uint64_t seed);

}  // namespace gw::inline data
