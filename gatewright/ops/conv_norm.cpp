#include "gatewright/ops/conv_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/ops/expert_norm.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/merged_conv.h"
#include "gatewright/ops/straight_through.h"

namespace gw::ops {
namespace {

/// relu?(y + residual?), in place where nothing is recorded.
at::Tensor finished(at::Tensor y, const at::Tensor& residual, bool relu) {
  const bool recorded = torch::autograd::GradMode::is_enabled();
  if (residual.defined()) y = recorded ? y + residual : y.add_(residual);
  if (relu) y = recorded ? at::relu(y) : y.relu_();
  return y;
}

}  // namespace

ConvNorm::ConvNorm(ConvNormShape shape, const Rng& rng) : torch::nn::Module("ConvNorm"), shape_(shape) {
  const int64_t channels = shape.out * shape.experts;
  const auto values = shape.paper_init
                          ? kaiming_conv(rng, channels, shape.in, shape.kernel)
                          : default_uniform(rng, {channels, shape.in, shape.kernel, shape.kernel});
  weight_ = register_parameter("weight", values);
  gamma_ = register_parameter("norm_weight", at::ones({shape.out * shape.norms}));
  beta_ = register_parameter("norm_bias", at::zeros({shape.out * shape.norms}));
  running_mean_ = register_buffer("running_mean", at::zeros({shape.out * shape.norms}));
  running_var_ = register_buffer("running_var", at::ones({shape.out * shape.norms}));
}

std::vector<at::Tensor> ConvNorm::convolve(const std::vector<at::Tensor>& parts,
                                           const PartRoutes& routes) const {
  if (routes.masked_expert.defined()) {
    return {masked_conv(parts.at(0), routes.masked_expert, weight_, shape_.experts, conv_shape())};
  }
  if (shape_.experts > 1 && routes.mixing.defined())
    return {merged_conv2d(parts.at(0), routes.mixing, weight_, conv_shape())};
  const std::vector<int64_t> shared(parts.size(), 0);
  return routed_conv(parts, shape_.experts > 1 ? routes.expert : shared, weight_, shape_.experts,
                     conv_shape());
}

std::vector<at::Tensor> ConvNorm::folded(const std::vector<at::Tensor>& parts, const PartRoutes& routes,
                                         const std::vector<at::Tensor>& residual) {
  const FoldedConv fold = fold_.get({weight_, gamma_, beta_, running_mean_, running_var_},
                                    [&] { return fold_norm(weight_, norm(), shape_.experts, shape_.norms); });
  const bool recorded = torch::autograd::GradMode::is_enabled();
  std::vector<at::Tensor> out;
  out.reserve(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool gated = shape_.experts > 1 && !routes.route_weight.empty() && recorded;
    const bool at_once = shape_.relu && residual.empty() && !gated;
    const int64_t expert = std::max(shape_.experts, shape_.norms) > 1 ? routes.expert[i] : 0;
    // The selection acts on the convolution's output, before the shift: <dL/dc, c> = <dL/dy, y − b'> for y =
    // scale·c + b'.
    auto y = gated ? apply_route_weight(fold.apply_without_bias(parts[i], expert, conv_shape()),
                                        routes.route_weight[i], true) +
                         fold.shift(expert)
                   : fold.apply(parts[i], expert, conv_shape(), at_once);
    const auto added = residual.empty() ? at::Tensor() : residual[i];
    y = finished(std::move(y), added, shape_.relu && !at_once);
    StepLog::add([&] { return step_of(parts[i], y, fold, expert, added); });
    out.push_back(std::move(y));
  }
  return out;
}

at::Tensor ConvNorm::folded_merged(const at::Tensor& x, const at::Tensor& mixing,
                                   const at::Tensor& residual) {
  const FoldedConv fold = fold_.get({weight_, gamma_, beta_, running_mean_, running_var_},
                                    [&] { return fold_merged_norm(weight_, norm(), shape_.experts); });
  const bool at_once = shape_.relu && !residual.defined();
  const auto y = finished(merged_conv2d(x, mixing, fold.weight[0], conv_shape(), fold.bias[0], at_once),
                          residual, shape_.relu && !at_once);
  StepLog::add([&] {
    Step step = step_of(x, y, fold, 0, residual);
    step.kind = Step::Kind::kMergedConvolution, step.mixing = mixing;
    return step;
  });
  return y;
}

Step ConvNorm::step_of(const at::Tensor& x, const at::Tensor& y, const FoldedConv& fold, int64_t expert,
                       const at::Tensor& residual) const {
  const auto e = static_cast<size_t>(expert);
  Step step{Step::Kind::kConvolution, x, y, fold.weight[e], fold.bias[e], residual};
  step.stride = conv_shape().stride, step.padding = conv_shape().padding, step.relu = shape_.relu;
  return step;
}

std::vector<at::Tensor> ConvNorm::forward(const std::vector<at::Tensor>& parts, const PartRoutes& routes,
                                          const std::vector<at::Tensor>& residual,
                                          std::optional<bool> train) {
  const bool training = train.value_or(is_training());
  const bool constant = !torch::autograd::GradMode::is_enabled() || FrozenParameters::active();
  const bool merged = shape_.experts > 1 && routes.mixing.defined();
  if (!training && constant && merged)
    return {folded_merged(parts.at(0), routes.mixing, residual.empty() ? at::Tensor() : residual[0])};
  if (!training && constant && !routes.masked_expert.defined()) return folded(parts, routes, residual);
  auto y = convolve(parts, routes);
  if (shape_.experts > 1 && !routes.route_weight.empty()) {
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = apply_route_weight(y[i], routes.route_weight[i], /*weight_is_one=*/true);
  }
  auto parameters = norm();
  return expert_norm(y, routes, parameters, shape_.norms, training, shape_.relu, residual);
}

at::Tensor ConvNorm::forward(const at::Tensor& x, const at::Tensor& residual, std::optional<bool> train) {
  PartRoutes all;
  all.expert = {0};
  return forward(std::vector<at::Tensor>{x}, all,
                 residual.defined() ? std::vector<at::Tensor>{residual} : std::vector<at::Tensor>{},
                 train)[0];
}

}  // namespace gw::ops
