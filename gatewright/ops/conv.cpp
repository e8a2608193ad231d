#include "gatewright/ops/conv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <omp.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <array>

#include "gatewright/base/check.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/plane_conv2d.h"
#include "gatewright/ops/step_log.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor convolved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ConvShape shape) {
  return at::conv2d(x, weight, bias, {shape.stride, shape.stride}, {shape.padding, shape.padding}, {1, 1}, 1);
}

at::Tensor gradient_of(bool weight_wanted, const at::Tensor& g, const at::Tensor& x, const at::Tensor& weight,
                       ConvShape shape) {
  const std::array<int64_t, 2> stride{shape.stride, shape.stride}, padding{shape.padding, shape.padding},
      none{0, 0}, one{1, 1};
  const std::array<bool, 3> wanted{!weight_wanted, weight_wanted, false};
  const auto all =
      at::convolution_backward(g, x, weight, c10::nullopt, stride, padding, one, false, none, 1, wanted);
  return weight_wanted ? std::get<1>(all) : std::get<0>(all);
}

/// oneDNN plans for as many threads as OpenMP announces, also inside a parallel region, where there is only
/// one: it would deadlock, waiting for threads that do not exist. at::get_num_threads() comes first: libtorch
/// sets the number of a thread once, at that thread's first question.
class Alone {
 public:
  Alone() : before_(at::get_num_threads()) { omp_set_num_threads(1); }
  ~Alone() { omp_set_num_threads(before_); }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  int before_;
};

// oneDNN shares out a batch among its threads and adds their sums, so that the number of threads shows in the
// last bits of a weight's gradient (and in nothing else: outputs and gradients of images are the same). Here
// the pieces depend on the batch alone: up to 16 images, at least four pieces, each on one thread, added in
// order. Beside oneDNN's own this costs 1.0 to 1.4 times as much (64x512x4x4, where the sums are large).
at::Tensor weight_gradient(const at::Tensor& g, const at::Tensor& x, const at::Tensor& weight,
                           ConvShape shape) {
  const int64_t images = x.size(0), size = std::clamp<int64_t>((images + 3) / 4, 1, 16),
                pieces = (images + size - 1) / size;
  if (pieces == 0) return at::zeros_like(weight);
  std::vector<at::Tensor> sums(static_cast<size_t>(pieces));
  at::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;
    const Alone alone;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * size, count = std::min(size, images - first);
      sums[static_cast<size_t>(i)] =
          gradient_of(true, g.narrow(0, first, count), x.narrow(0, first, count), weight, shape);
    }
  });
  for (size_t i = 1; i < sums.size(); ++i) sums[0].add_(sums[i]);
  return sums[0];
}

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            int64_t stride, int64_t padding) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["stride"] = stride, ctx->saved_data["padding"] = padding;
    ctx->saved_data["of_images"] = x.requires_grad();
    return convolved(x, weight, {}, {stride, padding});
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("conv2d");
    const auto saved = ctx->get_saved_variables();
    const ConvShape shape{ctx->saved_data["stride"].toInt(), ctx->saved_data["padding"].toInt()};
    at::Tensor images;
    if (ctx->saved_data["of_images"].toBool())
      images = gradient_of(false, gradient[0], saved[0], saved[1], shape);
    return {images, weight_gradient(gradient[0], saved[0], saved[1], shape), {}, {}};
  }
};

at::Tensor by_planes(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
  if (!bias.defined() || !bias.requires_grad()) return plane_conv2d(x, weight, bias, relu);
  const auto y = plane_conv2d(x, weight) + bias.view({1, -1, 1, 1});
  return relu ? at::relu(y) : y;
}

at::Tensor by_libtorch(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ConvShape shape,
                       bool recorded) {
  const std::array<int64_t, 2> stride{shape.stride, shape.stride}, padding{shape.padding, shape.padding},
      dilation{1, 1};
  // libtorch views the result of no images as the weights lie in memory, which fails for channels-last ones.
  if (x.size(0) == 0) return convolved(x.contiguous(), weight.contiguous(), bias, shape);
  const bool small = x.size(0) == 1 && x.scalar_type() == at::kFloat &&
                     at::globalContext().userEnabledMkldnn() && at::hasMKLDNN();
  if (small && !recorded) return at::mkldnn_convolution(x, weight, bias, padding, stride, dilation, 1);
  if (!recorded || !weight.requires_grad()) return convolved(x, weight, bias, shape);
  const auto y = Convolution::apply(x, weight, shape.stride, shape.padding);
  return bias.defined() ? y + bias.view({1, -1, 1, 1}) : y;
}

}  // namespace

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ConvShape shape,
                  bool relu) {
  const auto out_size = [&](int64_t d) {
    return (x.size(d) + 2 * shape.padding - weight.size(d)) / shape.stride + 1;
  };
  CostRecorder::add(x.size(0) * out_size(2) * out_size(3) * weight.numel());
  if (plane_conv2d_pays(x, weight, shape.stride, shape.padding)) return by_planes(x, weight, bias, relu);
  const bool recorded =
      torch::autograd::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  auto y = by_libtorch(x, weight, bias, shape, recorded);
  if (!relu) return y;
  return recorded ? at::relu(y) : y.relu_();
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  CostRecorder::add(x.size(0) * weight.numel());
  auto y = at::linear(x, weight, bias);
  StepLog::add([&] { return Step{Step::Kind::kLinear, x, y, weight, bias}; });
  return y;
}

at::Tensor channel_means(const at::Tensor& x) {
  auto y = x.mean({2, 3});
  StepLog::add([&] { return Step{Step::Kind::kMean, x, y}; });
  return y;
}

NormScale scale_and_shift(const NormParameters& norm) {
  const auto scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt();
  return {scale, norm.bias.detach() - norm.running_mean * scale};
}

std::vector<at::Tensor> routed_conv(const std::vector<at::Tensor>& parts, const std::vector<int64_t>& expert,
                                    const at::Tensor& weight, int64_t experts, ConvShape shape) {
  GW_ENSURE(parts.size() == expert.size(), "routed_conv: {} parts, {} experts", parts.size(), expert.size());
  std::vector<at::Tensor> out;
  out.reserve(parts.size());
  if (experts == 1) {
    for (const auto& x : parts) out.push_back(conv2d(x, weight, {}, shape));
    return out;
  }
  const auto weights = weight.split(weight.size(0) / experts, 0);
  for (size_t i = 0; i < parts.size(); ++i)
    out.push_back(conv2d(parts[i], weights[static_cast<size_t>(expert[i])], {}, shape));
  return out;
}

at::Tensor masked_conv(const at::Tensor& x, const at::Tensor& expert_of_row, const at::Tensor& weight,
                       int64_t experts, ConvShape shape) {
  const auto all = conv2d(x, weight, {}, shape);  // [B, E·w, H', W']
  if (experts == 1) return all;
  const auto grouped = all.view({all.size(0), experts, all.size(1) / experts, all.size(2), all.size(3)});
  const auto rows = at::arange(all.size(0), at::kLong);
  return grouped.index({rows, expert_of_row}).contiguous(at::MemoryFormat::ChannelsLast);
}

FoldedConv fold_norm(const at::Tensor& weight, const NormParameters& norm, int64_t experts, int64_t norms) {
  const int64_t pathways = std::max(experts, norms);
  const auto [scale, shift] = scale_and_shift(norm);
  const auto convolutions =
      experts == pathways ? weight.detach() : weight.detach().repeat({pathways, 1, 1, 1});
  const auto folded = convolutions * scale.repeat({pathways / norms}).view({-1, 1, 1, 1});
  FoldedConv made;
  for (const auto& w : folded.split(folded.size(0) / pathways, 0))
    made.weight.push_back(w.contiguous(at::MemoryFormat::ChannelsLast));
  const auto bias = shift.chunk(norms, 0);
  for (int64_t e = 0; e < pathways; ++e) made.bias.push_back(bias[norms > 1 ? static_cast<size_t>(e) : 0]);
  return made;
}

FoldedConv fold_merged_norm(const at::Tensor& weight, const NormParameters& norm, int64_t experts) {
  const auto [scale, shift] = scale_and_shift(norm);
  return {{(weight.detach() * scale.repeat({experts}).view({-1, 1, 1, 1})).contiguous()}, {shift}};
}

at::Tensor FoldedConv::apply(const at::Tensor& x, int64_t expert, ConvShape shape, bool relu) const {
  return conv2d(x, weight[static_cast<size_t>(expert)], bias[static_cast<size_t>(expert)], shape, relu);
}

at::Tensor FoldedConv::apply_without_bias(const at::Tensor& x, int64_t expert, ConvShape shape) const {
  return conv2d(x, weight[static_cast<size_t>(expert)], {}, shape);
}

at::Tensor FoldedConv::shift(int64_t expert) const {
  return bias[static_cast<size_t>(expert)].view({1, -1, 1, 1});
}

}  // namespace gw::ops
