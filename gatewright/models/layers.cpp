#include "gatewright/models/layers.h"

#include <ATen/ATen.h>

#include "gatewright/base/error.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"
#include "gatewright/ops/straight_through.h"

namespace gw::inline models {
namespace {

std::shared_ptr<LayerRouter> layer_router(torch::nn::Module& owner, const ops::ConvNormShape& shape,
                                          const ZooContext& context, const std::string& name) {
  if (shape.experts == 1 || !context.per_layer()) return nullptr;
  return owner.register_module("router", std::make_shared<LayerRouter>(context, shape.in, name));
}

}  // namespace

FlowConv::FlowConv(ops::ConvNormShape shape, const ZooContext& context, const std::string& name)
    : torch::nn::Module("FlowConv") {
  conv_ = register_module("conv", std::make_shared<ops::ConvNorm>(shape, context.init().fork(name)));
  router_ = layer_router(*this, shape, context, name);
}

Flow FlowConv::forward(const Flow& x, const Flow* residual) {
  const Flow routed = router_ ? router_->forward(x) : x;
  std::vector<at::Tensor> added;
  if (residual != nullptr) added = rearrange(*residual, routed.arrangement).parts;
  return {conv_->forward(routed.parts, *routed.arrangement, added), routed.arrangement};
}

FlowNorm::FlowNorm(int64_t channels) : torch::nn::Module("FlowNorm") {
  gamma_ = register_parameter("weight", at::ones({channels}));
  beta_ = register_parameter("bias", at::zeros({channels}));
  running_mean_ = register_buffer("running_mean", at::zeros({channels}));
  running_var_ = register_buffer("running_var", at::ones({channels}));
}

Flow FlowNorm::forward(const Flow& x) {
  ops::NormParameters norm{gamma_, beta_, running_mean_, running_var_};
  return {ops::bucket_norm(x.parts, norm, is_training(), /*relu=*/true), x.arrangement};
}

FlowPlainConv::FlowPlainConv(ops::ConvNormShape shape, const ZooContext& context, const std::string& name)
    : torch::nn::Module("FlowPlainConv"), shape_(shape) {
  const auto rng = context.init().fork(name);
  weight_ =
      register_parameter("weight", ops::kaiming_conv(rng, shape.out * shape.experts, shape.in, shape.kernel));
  router_ = layer_router(*this, shape, context, name);
}

Flow FlowPlainConv::forward(const Flow& x) {
  const Flow routed = router_ ? router_->forward(x) : x;
  const auto& routes = *routed.arrangement;
  const ops::ConvShape conv{shape_.stride, shape_.kernel / 2};
  Flow out{{}, routed.arrangement};
  if (routes.masked_expert.defined()) {
    out.parts = {ops::masked_conv(routed.parts.at(0), routes.masked_expert, weight_, shape_.experts, conv)};
  } else {
    const std::vector<int64_t> shared(routed.parts.size(), 0);
    out.parts = ops::routed_conv(routed.parts, shape_.experts > 1 ? routes.expert : shared, weight_,
                                 shape_.experts, conv);
  }
  if (shape_.experts > 1 && !routes.gate.empty()) {
    for (size_t i = 0; i < out.parts.size(); ++i)
      out.parts[i] = ops::apply_route_weight(out.parts[i], routes.gate[i], true);
  }
  return out;
}

Head::Head(int64_t in, int64_t out, const Rng& rng) : torch::nn::Module("Head") {
  weight_ = register_parameter("weight", ops::normal(rng, {out, in}, 0, 0.01));
  bias_ = register_parameter("bias", at::zeros({out}));
}

at::Tensor Head::forward(const at::Tensor& x) { return ops::linear(x, weight_, bias_); }

at::Tensor pooled(const Flow& flow) {
  return leave(map(flow, [](const at::Tensor& x) { return x.mean({2, 3}); }));
}

at::Tensor pooled(const Flow& flow, int64_t size) {
  return leave(map(flow, [&](const at::Tensor& x) {
    return at::adaptive_avg_pool2d(x, {size, size}).flatten(1);
  }));
}

Flow max_pool(const Flow& flow, int64_t size, bool ceil) {
  return map(flow, [&](const at::Tensor& x) {
    return at::max_pool2d(x, {size, size}, {size, size}, {0, 0}, {1, 1}, ceil);
  });
}

Flow average_pool(const Flow& flow, int64_t size) {
  return map(flow, [&](const at::Tensor& x) { return at::avg_pool2d(x, {size, size}); });
}

Flow sum(const Flow& a, const Flow& b) {
  const Flow other = rearrange(b, a.arrangement);
  Flow out{{}, a.arrangement};
  for (size_t i = 0; i < a.parts.size(); ++i) out.parts.push_back(a.parts[i] + other.parts[i]);
  return out;
}

Flow concatenate(const Flow& a, const Flow& b) {
  const Flow other = rearrange(a, b.arrangement);
  Flow out{{}, b.arrangement};
  for (size_t i = 0; i < b.parts.size(); ++i) out.parts.push_back(at::cat({other.parts[i], b.parts[i]}, 1));
  return out;
}

}  // namespace gw::inline models
