#include "gatewright/models/graph_blocks.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/bucket_norm.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

at::Tensor in_degree(const ops::EdgeLists& edges) {
  return edges.in_offsets.slice(0, 1) - edges.in_offsets.slice(0, 0, edges.nodes());
}

at::Tensor dropped(const at::Tensor& x, double share, const Rng& draws) {
  if (share == 0) return x;
  return x * ops::uniform(draws, x.sizes(), 0, 1).ge(share) / (1 - share);
}

}  // namespace

void GraphForm::fields(OptionVisitor& v) {
  v.text("kind", kind, "how layers look at neighbours", {"mlp", "gcn", "sage", "gin"});
  v.integer("width", width, "width of the layers", 1, 1 << 16);
  v.integer("layers", layers, "layers, as many steps along edges", 1, 64);
  v.real("dropout", dropout, "share of the values between layers that a training pass drops", 0, 0.95);
  v.flag("norm", norm, "normalise values over the batch between layers");
}

GraphStack::GraphStack(const GraphForm& form, int64_t in, int64_t out, const Rng& rng)
    : torch::nn::Module("GraphStack"), form_(form) {
  for (int64_t l = 0; l < form.layers; ++l) {
    const bool last = l + 1 == form.layers;
    const auto width = last ? out : form.width, from = l == 0 ? in : form.width;
    const auto at = std::to_string(l);
    const auto stream = rng.fork("layer", static_cast<uint64_t>(l));
    Layer layer;
    const bool gin = form.kind == "gin";
    const auto product = [&](const std::string& name, int64_t rows, int64_t columns) {
      return register_parameter(name + at, ops::default_uniform(stream.fork(name), {rows, columns}));
    };
    layer.weight = product("weight", gin ? form.width : width, from);
    layer.bias = register_parameter("bias" + at, at::zeros({layer.weight.size(0)}));
    if (gin) {
      layer.epsilon = register_parameter("epsilon" + at, at::zeros({1}));
      layer.second = product("second", width, form.width);
      layer.second_bias = register_parameter("second_bias" + at, at::zeros({width}));
    } else if (form.kind == "sage") {
      layer.second = product("second", width, from);
    }
    if (form.norm && !last) {
      layer.gamma = register_parameter("gamma" + at, at::ones({width}));
      layer.beta = register_parameter("beta" + at, at::zeros({width}));
      layer.mean = register_buffer("running_mean" + at, at::zeros({width}));
      layer.var = register_buffer("running_var" + at, at::ones({width}));
    }
    layers_.push_back(std::move(layer));
  }
}

at::Tensor GraphStack::layer(const Layer& layer, const at::Tensor& x, const Neighbours& heard) const {
  if (!sees_edges()) return ops::linear(x, layer.weight, layer.bias);
  const auto own = [&](const at::Tensor& rows) {
    return rows.size(0) == heard.targets ? rows : rows.narrow(0, 0, heard.targets);
  };
  if (form_.kind == "gin") {
    const auto all = own(x) * (1 + layer.epsilon) + heard.sum(x);
    return ops::linear(at::relu(ops::linear(all, layer.weight, layer.bias)), layer.second, layer.second_bias);
  }
  const auto degree = heard.degree.to(x.scalar_type());
  if (form_.kind == "sage") {
    const auto mean = heard.sum(x) / own(degree).clamp_min(1);
    return ops::linear(own(x), layer.weight, layer.bias) + ops::linear(mean, layer.second, {});
  }
  const auto scale = at::rsqrt(degree + 1);
  const auto spread = [&](const at::Tensor& h) {
    const auto scaled = scale * h;
    return own(scale) * (own(scaled) + heard.sum(scaled));
  };
  if (x.size(1) <= layer.weight.size(0)) return ops::linear(spread(x), layer.weight, layer.bias);
  return spread(ops::linear(x, layer.weight, {})) + layer.bias;
}

at::Tensor GraphStack::between(Layer& layer, const at::Tensor& x, bool train) const {
  if (!form_.norm) return at::relu(x);
  GW_CHECK(!train || x.size(0) > 1, "graph: expected at least 2 nodes in a training batch with norm, got {}",
           x.size(0));
  ops::NormParameters norm{layer.gamma, layer.beta, layer.mean, layer.var};
  return at::relu(ops::bucket_norm({x}, norm, train, false).front());
}

at::Tensor GraphStack::forward(at::Tensor x, const ops::EdgeLists* edges, bool train, const Rng& draws) {
  GW_CHECK(edges != nullptr || !sees_edges(), "graph: expected edges for layers of kind \"{}\", got none",
           form_.kind);
  Neighbours heard;
  if (sees_edges()) {
    heard.sum = [edges](const at::Tensor& rows) { return ops::neighbour_sum(rows, *edges); };
    heard.degree = in_degree(*edges).unsqueeze(1), heard.targets = edges->nodes();
  }
  for (size_t l = 0; l < layers_.size(); ++l) {
    x = layer(layers_[l], x, heard);
    if (l + 1 == layers_.size()) break;
    x = between(layers_[l], x, train);
    if (train) x = dropped(x, form_.dropout, draws.fork("dropout", l));
  }
  return x;
}

at::Tensor GraphStack::at_nodes(const at::Tensor& x, const ops::EdgeLists* edges, const at::Tensor& node) {
  if (!sees_edges()) return forward(x.index_select(0, node), nullptr, false, Rng(0));
  GW_CHECK(edges != nullptr, "graph: expected edges for layers of kind \"{}\", got none", form_.kind);
  const at::NoGradGuard no_grad;
  const auto field = ops::node_field(*edges, node, static_cast<int64_t>(layers_.size()));
  auto h = x.index_select(0, field.node);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const int64_t targets = field.count[l + 1];
    h = layer(layers_[l], h,
              {[&](const at::Tensor& rows) { return ops::field_sum(rows, field, targets); },
               field.degree.narrow(0, 0, field.count[l]).unsqueeze(1), targets});
    if (l + 1 < layers_.size()) h = between(layers_[l], h, false);
  }
  return h.index_select(0, field.row);
}

Batch example_graph(int64_t count, int64_t inputs, double degree, const Rng& rng) {
  const auto edges = static_cast<int64_t>(std::llround(degree * static_cast<double>(count)));
  const auto edge =
      (ops::uniform(rng.fork("edge"), {2, edges}, 0, 1) * count).to(at::kLong).clamp_max(count - 1);
  Batch batch;
  batch.common = graph_common(ops::normal(rng.fork("x"), {count, inputs}, 0, 1), edge);
  batch.fields["node"] = at::arange(count, at::kLong);
  batch.index = at::arange(count, at::kLong);
  return batch;
}

}  // namespace gw::inline models
