#include "ops/conv.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <array>

#include "base/error.h"
#include "ops/cost.h"

namespace gw::ops {

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ConvShape shape) {
  const std::array<int64_t, 2> stride{shape.stride, shape.stride}, padding{shape.padding, shape.padding}, dilation{1, 1};
  const bool recorded = torch::autograd::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  const auto out_size = [&](int64_t d) { return (x.size(d) + 2 * shape.padding - weight.size(d)) / shape.stride + 1; };
  CostRecorder::add(x.size(0) * out_size(2) * out_size(3) * weight.numel());
  const bool small = x.size(0) == 1 && x.scalar_type() == at::kFloat && at::globalContext().userEnabledMkldnn() && at::hasMKLDNN();
  if (small && !recorded) return at::mkldnn_convolution(x, weight, bias, padding, stride, dilation, 1);
  return at::conv2d(x, weight, bias, stride, padding, dilation, 1);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  CostRecorder::add(x.size(0) * weight.numel());
  return at::linear(x, weight, bias);
}

std::vector<at::Tensor> routed_conv(const std::vector<at::Tensor>& parts, const std::vector<int64_t>& expert, const at::Tensor& weight,
                                    int64_t experts, ConvShape shape) {
  ensure(parts.size() == expert.size(), "routed_conv: {} parts, {} experts", parts.size(), expert.size());
  std::vector<at::Tensor> out;
  out.reserve(parts.size());
  if (experts == 1) {
    for (const auto& x : parts) out.push_back(conv2d(x, weight, {}, shape));
    return out;
  }
  const auto weights = weight.split(weight.size(0) / experts, 0);
  for (size_t i = 0; i < parts.size(); ++i) out.push_back(conv2d(parts[i], weights[static_cast<size_t>(expert[i])], {}, shape));
  return out;
}

at::Tensor masked_conv(const at::Tensor& x, const at::Tensor& expert_of_row, const at::Tensor& weight, int64_t experts, ConvShape shape) {
  const auto all = conv2d(x, weight, {}, shape);  // [B, E·w, H', W']
  if (experts == 1) return all;
  const auto grouped = all.view({all.size(0), experts, all.size(1) / experts, all.size(2), all.size(3)});
  const auto rows = at::arange(all.size(0), at::kLong);
  return grouped.index({rows, expert_of_row}).contiguous(at::MemoryFormat::ChannelsLast);
}

void FoldedConv::refresh(const at::Tensor& weight, const NormParameters& norm, int64_t experts) {
  std::vector<std::pair<const void*, uint32_t>> sources;
  for (const auto* t : {&weight, &norm.weight, &norm.bias, &norm.running_mean, &norm.running_var}) {
    sources.emplace_back(t->unsafeGetTensorImpl(), t->_version());
  }
  if (sources == sources_) return;
  const at::NoGradGuard no_grad;
  const auto scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt();
  const auto folded = weight.detach() * scale.repeat({experts}).view({-1, 1, 1, 1});
  weight_.clear();
  for (const auto& w : folded.split(weight.size(0) / experts, 0)) weight_.push_back(w.contiguous(at::MemoryFormat::ChannelsLast));
  bias_ = norm.bias.detach() - norm.running_mean * scale;
  sources_ = std::move(sources);
}

at::Tensor FoldedConv::apply(const at::Tensor& x, int64_t expert, ConvShape shape) const {
  return conv2d(x, weight_[static_cast<size_t>(expert)], bias_, shape);
}

at::Tensor FoldedConv::apply_without_bias(const at::Tensor& x, int64_t expert, ConvShape shape) const {
  return conv2d(x, weight_[static_cast<size_t>(expert)], {}, shape);
}

at::Tensor FoldedConv::bias() const { return bias_.view({1, -1, 1, 1}); }

}  // namespace gw::ops
