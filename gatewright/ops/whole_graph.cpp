#include "gatewright/ops/whole_graph.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/ops/cost.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
void sum_rows(const at::Tensor& x, const at::Tensor& offsets, const at::Tensor& nodes, at::Tensor& y) {
  const int64_t width = x.size(1);
  const auto* first = offsets.data_ptr<int64_t>();
  const auto* node = nodes.data_ptr<int64_t>();
  const auto* in = x.data_ptr<T>();
  auto* out = y.data_ptr<T>();
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 18) / std::max<int64_t>(width, 1));
  at::parallel_for(0, y.size(0), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* row = out + i * width;
      for (int64_t e = first[i]; e < first[i + 1]; ++e) {
        const T* other = in + node[e] * width;
        for (int64_t c = 0; c < width; ++c) row[c] += other[c];
      }
    }
  });
}

at::Tensor summed(const at::Tensor& x, const at::Tensor& offsets, const at::Tensor& nodes) {
  const auto rows = x.contiguous();
  auto y = at::zeros_like(rows);
  if (x.scalar_type() == at::kDouble)
    sum_rows<double>(rows, offsets, nodes, y);
  else
    sum_rows<float>(rows, offsets, nodes, y);
  return y;
}

struct NeighbourSum : torch::autograd::Function<NeighbourSum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& in_offsets,
                            const at::Tensor& in_source, const at::Tensor& out_offsets,
                            const at::Tensor& out_target) {
    context->save_for_backward({out_offsets, out_target});
    return summed(x, in_offsets, in_source);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradient) {
    const auto saved = context->get_saved_variables();
    return {summed(gradient[0], saved[0], saved[1]), {}, {}, {}, {}};
  }
};

/// Positions sorted by `key`, ties in the order of edges; `other` in that order.
std::pair<at::Tensor, at::Tensor> listed(const at::Tensor& key, const at::Tensor& other, int64_t nodes) {
  auto offsets = at::zeros({nodes + 1}, at::kLong);
  auto list = at::empty_like(other);
  auto* first = offsets.data_ptr<int64_t>();
  const auto* k = key.data_ptr<int64_t>();
  for (int64_t e = 0; e < key.numel(); ++e) ++first[k[e] + 1];
  for (int64_t i = 0; i < nodes; ++i) first[i + 1] += first[i];
  std::vector<int64_t> next(first, first + nodes);
  for (int64_t e = 0; e < key.numel(); ++e)
    list.data_ptr<int64_t>()[next[static_cast<size_t>(k[e])]++] = other.data_ptr<int64_t>()[e];
  return {offsets, list};
}

}  // namespace

EdgeLists make_edge_lists(const at::Tensor& edge, int64_t nodes) {
  GW_CHECK(edge.dim() == 2 && edge.size(0) == 2 && edge.scalar_type() == at::kLong && nodes >= 0,
           "graph: expected edges [2, m] of type int64, got {} dimensions", edge.dim());
  const auto from = edge[0].contiguous(), to = edge[1].contiguous();
  for (int64_t e = 0; e < from.numel(); ++e) {
    const int64_t a = from.data_ptr<int64_t>()[e], b = to.data_ptr<int64_t>()[e];
    GW_CHECK(a >= 0 && a < nodes && b >= 0 && b < nodes,
             "graph: expected nodes below {}, got edge {} from {} to {}", nodes, e, a, b);
  }
  const auto in = listed(to, from, nodes), out = listed(from, to, nodes);
  return {in.first, in.second, out.first, out.second};
}

at::Tensor neighbour_sum(const at::Tensor& x, const EdgeLists& edges) {
  GW_CHECK(x.dim() == 2 && x.size(0) == edges.nodes() &&
               (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble),
           "graph: expected values [{}, D] of type f32 or f64, got {} dimensions, {} rows", edges.nodes(),
           x.dim(), x.dim() > 0 ? x.size(0) : 0);
  CostRecorder::add(edges.edges() * x.size(1));
  return NeighbourSum::apply(x, edges.in_offsets, edges.in_source, edges.out_offsets, edges.out_target);
}

NodeField node_field(const EdgeLists& edges, const at::Tensor& node, int64_t layers) {
  GW_CHECK(node.dim() == 1 && node.scalar_type() == at::kLong && layers >= 1,
           "graph: expected nodes [B] of type int64 and at least 1 layer, got {} dimensions and {}",
           node.dim(), layers);
  const auto asked = node.contiguous();
  const auto *first = edges.in_offsets.data_ptr<int64_t>(), *from = edges.in_source.data_ptr<int64_t>();
  std::vector<int64_t> place(static_cast<size_t>(edges.nodes()), -1), order, offsets{0}, source, degree, row;
  const auto placed = [&](int64_t id) {
    auto& at = place[static_cast<size_t>(id)];
    if (at < 0) at = static_cast<int64_t>(order.size()), order.push_back(id);
    return at;
  };
  for (int64_t i = 0; i < asked.numel(); ++i) {
    const int64_t id = asked.data_ptr<int64_t>()[i];
    GW_CHECK(id >= 0 && id < edges.nodes(), "graph: expected nodes below {}, got {}", edges.nodes(), id);
    row.push_back(placed(id));
  }
  NodeField field;
  field.count.assign(static_cast<size_t>(layers) + 1, static_cast<int64_t>(order.size()));
  for (int64_t l = layers; l-- > 0;) {
    const size_t known = order.size();
    for (size_t i = offsets.size() - 1; i < known; ++i) {
      for (int64_t e = first[order[i]], end = first[order[i] + 1]; e < end; ++e)
        source.push_back(placed(from[e]));
      offsets.push_back(static_cast<int64_t>(source.size()));
    }
    field.count[static_cast<size_t>(l)] = static_cast<int64_t>(order.size());
  }
  for (const int64_t id : order) degree.push_back(first[id + 1] - first[id]);
  const auto listed_as = [](const std::vector<int64_t>& values) {
    return at::tensor(at::ArrayRef<int64_t>(values), at::kLong);
  };
  field.node = listed_as(order), field.offsets = listed_as(offsets), field.source = listed_as(source);
  field.degree = listed_as(degree), field.row = listed_as(row);
  return field;
}

at::Tensor field_sum(const at::Tensor& x, const NodeField& field, int64_t targets) {
  GW_ENSURE(x.dim() == 2 && targets < field.offsets.numel(), "graph: {} places of a field of {}", targets,
            field.offsets.numel() - 1);
  const auto rows = x.contiguous();
  auto y = at::zeros({targets, rows.size(1)}, rows.options());
  CostRecorder::add(field.offsets.data_ptr<int64_t>()[targets] * rows.size(1));
  if (x.scalar_type() == at::kDouble)
    sum_rows<double>(rows, field.offsets, field.source, y);
  else
    sum_rows<float>(rows, field.offsets, field.source, y);
  return y;
}

}  // namespace gw::ops
