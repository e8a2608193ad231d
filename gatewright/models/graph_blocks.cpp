#include "gatewright/models/graph_blocks.h"

#include <ATen/ATen.h>

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

at::Tensor GraphStack::layer(const Layer& layer, const at::Tensor& x, const ops::EdgeLists* edges) const {
  if (!sees_edges()) return ops::linear(x, layer.weight, layer.bias);
  if (form_.kind == "gin") {
    const auto heard = x * (1 + layer.epsilon) + ops::neighbour_sum(x, *edges);
    return ops::linear(at::relu(ops::linear(heard, layer.weight, layer.bias)), layer.second,
                       layer.second_bias);
  }
  const auto degree = in_degree(*edges).to(x.scalar_type()).unsqueeze(1);
  if (form_.kind == "sage") {
    const auto mean = ops::neighbour_sum(x, *edges) / degree.clamp_min(1);
    return ops::linear(x, layer.weight, layer.bias) + ops::linear(mean, layer.second, {});
  }
  const auto scale = at::rsqrt(degree + 1);
  const auto heard = [&](const at::Tensor& h) {
    return scale * (scale * h + ops::neighbour_sum(scale * h, *edges));
  };
  if (x.size(1) <= layer.weight.size(0)) return ops::linear(heard(x), layer.weight, layer.bias);
  return heard(ops::linear(x, layer.weight, {})) + layer.bias;
}

at::Tensor GraphStack::forward(at::Tensor x, const ops::EdgeLists* edges, bool train, const Rng& draws) {
  GW_CHECK(edges != nullptr || !sees_edges(), "graph: expected edges for layers of kind \"{}\", got none",
           form_.kind);
  for (size_t l = 0; l < layers_.size(); ++l) {
    auto& one = layers_[l];
    x = layer(one, x, edges);
    if (l + 1 == layers_.size()) break;
    if (form_.norm) {
      GW_CHECK(!train || x.size(0) > 1,
               "graph: expected at least 2 nodes in a training batch with norm, got {}", x.size(0));
      ops::NormParameters norm{one.gamma, one.beta, one.mean, one.var};
      x = ops::bucket_norm({x}, norm, train, false).front();
    }
    x = at::relu(x);
    if (train) x = dropped(x, form_.dropout, draws.fork("dropout", l));
  }
  return x;
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
