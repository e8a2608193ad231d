#include "gatewright/data/graph.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "gatewright/base/check.h"
#include "gatewright/base/rng.h"
#include "gatewright/base/shown.h"

namespace gw::inline data {

std::map<std::string, at::Tensor> graph_common(const at::Tensor& x, const at::Tensor& edge) {
  const auto lists = ops::make_edge_lists(edge, x.size(0));
  return {{"x", x},
          {"edge", edge},
          {"in_offsets", lists.in_offsets},
          {"in_source", lists.in_source},
          {"out_offsets", lists.out_offsets},
          {"out_target", lists.out_target}};
}

ops::EdgeLists edge_lists(const TensorSet& batch) {
  return {batch.whole("in_offsets"), batch.whole("in_source"), batch.whole("out_offsets"),
          batch.whole("out_target")};
}

at::Tensor proper_edges(const at::Tensor& edge, int64_t nodes) {
  const auto from = edge[0], to = edge[1];
  const auto proper = from.ne(to);
  const auto keys = (from.masked_select(proper) * nodes + to.masked_select(proper));
  const auto unique = std::get<0>(at::_unique(keys, /*sorted=*/true));
  return at::stack({unique.div(nodes, "floor"), unique.remainder(nodes)});
}

at::Tensor undirected(const at::Tensor& edge, int64_t nodes) {
  return proper_edges(at::cat({edge, edge.flip(0)}, 1), nodes);
}

at::Tensor read_edges(const CsvTable& table, const std::string& from, const std::string& to,
                      const std::vector<std::string>& names) {
  std::unordered_map<std::string, int64_t> place;
  for (const auto& name : names)
    GW_CHECK(place.emplace(name, static_cast<int64_t>(place.size())).second,
             "graph: expected each node once, got \"{}\" twice", shown(name, 40));
  const int64_t columns[] = {table.column(from), table.column(to)};
  auto edge = at::empty({2, table.rows()}, at::kLong);
  for (int64_t r = 0; r < table.rows(); ++r) {
    for (int64_t end = 0; end < 2; ++end) {
      const std::string name(table.cell(r, columns[end]));
      const auto found = place.find(name);
      GW_CHECK(found != place.end(),
               "csv \"{}\", line {}, column \"{}\": expected a node of the table of nodes, got \"{}\"; add "
               "it there, or "
               "leave the edge out",
               table.name(), table.line(r), shown(end == 0 ? from : to), shown(name, 40));
      edge.data_ptr<int64_t>()[end * table.rows() + r] = found->second;
    }
  }
  return edge;
}

void split_nodes(TaskData& data, const TensorSet& fields, const std::map<std::string, at::Tensor>& common,
                 double test_share, uint64_t seed) {
  const int64_t n = fields.size();
  GW_CHECK(n >= 4, "graph: expected at least 4 nodes with a label, got {}", n);
  const int64_t held = std::clamp<int64_t>(std::llround(test_share * static_cast<double>(n)), 1, n - 2);
  const auto order = at::tensor(Rng(seed).fork("datasets/graph").permutation(n), at::kLong);
  auto all = fields;
  if (!all.has("node")) all.fields["node"] = at::arange(n, at::kLong);
  all.common = common;
  data.train = all.rows(order.narrow(0, 0, n - held));
  data.test = all.rows(order.narrow(0, n - held, held));
}

}  // namespace gw::inline data
