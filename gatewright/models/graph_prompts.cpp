#include "gatewright/models/graph_prompts.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {

GraphsOfNodes graphs_of(const TensorSet& batch) {
  const int64_t nodes = batch.whole("x").size(0);
  const auto found = batch.common.find("graph_offsets");
  if (found == batch.common.end())
    return {at::zeros({nodes}, at::kLong), at::tensor({int64_t{0}, nodes}, at::kLong)};
  const auto& offsets = found->second;
  const int64_t graphs = offsets.numel() - 1;
  const bool whole = offsets.dim() == 1 && graphs >= 1 && offsets[0].item<int64_t>() == 0 &&
                     offsets[graphs].item<int64_t>() == nodes;
  GW_CHECK(whole, "graphs: expected \"graph_offsets\" from 0 to {} nodes, got others", nodes);
  const auto sizes = offsets.slice(0, 1) - offsets.slice(0, 0, graphs);
  GW_CHECK(sizes.min().item<int64_t>() > 0, "graphs: expected nodes in every graph, got one without");
  return {at::arange(graphs, at::kLong).repeat_interleave(sizes), offsets};
}

at::Tensor wrong_ends(const at::Tensor& edge, const GraphsOfNodes& nodes, const Rng& draws) {
  const auto graph = nodes.graph.index_select(0, edge[0]);
  const auto first = nodes.offsets.index_select(0, graph), end = nodes.offsets.index_select(0, graph + 1);
  const auto share = ops::uniform(draws, {edge.size(1)}, 0, 1).to(at::kDouble);
  const auto place = (share * (end - first).to(at::kDouble)).to(at::kLong);
  return at::minimum(first + place, end - 1);
}

at::Tensor edge_prediction_loss(const at::Tensor& z, const at::Tensor& edge, const at::Tensor& wrong,
                                const GraphsOfNodes& nodes) {
  const auto from = z.index_select(0, edge[0]) / std::sqrt(static_cast<double>(z.size(1)));
  const auto right_score = (from * z.index_select(0, edge[1])).sum(1);
  const auto wrong_score = (from * z.index_select(0, wrong)).sum(1);
  const auto each = (at::softplus(-right_score) + at::softplus(wrong_score)) / 2;
  const auto graph = nodes.graph.index_select(0, edge[0]);
  const auto count = at::bincount(graph, {}, nodes.graphs()).clamp_min(1).to(z.scalar_type());
  return at::zeros({nodes.graphs()}, z.options()).index_add(0, graph, each) / count;
}

namespace {

/// Cosines of each prompt with each, the diagonal left out.
at::Tensor cosines(const at::Tensor& prompts) {
  const auto unit = prompts / prompts.square().sum(1, true).clamp_min(1e-24).sqrt();
  const auto all = at::matmul(unit, unit.t());
  return all * (1 - at::eye(prompts.size(0), all.options()));
}

}  // namespace

at::Tensor orthogonality_loss(const at::Tensor& prompts) { return cosines(prompts).square().sum(); }

double mean_cosine(const at::Tensor& prompts) {
  const at::NoGradGuard no_grad;
  const auto m = static_cast<double>(prompts.size(0));
  return m < 2 ? 0 : cosines(prompts).abs().sum().item<double>() / (m * (m - 1));
}

}  // namespace gw::inline models
