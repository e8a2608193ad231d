#include "gatewright/ops/max_pool.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "gatewright/kernels/plane_conv/family.h"
#include "gatewright/ops/first_order.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// body(plane) for all planes of x; a task has as many values as libtorch's own.
template <class Body>
void each_plane(const at::Tensor& x, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, 32768 / (x.size(2) * x.size(3)));
  at::parallel_for(0, x.size(0) * x.size(1), grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

at::Tensor pooled_planes(const at::Tensor& x) {
  const int64_t height = x.size(2) / 2, width = x.size(3) / 2, row = x.size(3), values = x.size(2) * row;
  const auto y = at::empty({x.size(0), x.size(1), height, width}, x.options(), at::MemoryFormat::Contiguous);
  const auto pool = kernels::plane_conv_family()().max_pool2;
  const float* from = x.data_ptr<float>();
  float* to = y.data_ptr<float>();
  each_plane(x,
             [&](int64_t p) { pool(from + p * values, row, to + p * height * width, width, height, width); });
  return y;
}

at::Tensor gradient_of_planes(const at::Tensor& x, const at::Tensor& gradient) {
  const int64_t height = x.size(2) / 2, width = x.size(3) / 2, row = x.size(3), values = x.size(2) * row;
  const bool odd = x.size(2) % 2 + x.size(3) % 2 > 0;
  const auto dx = odd ? at::zeros(x.sizes(), x.options()) : at::empty(x.sizes(), x.options());
  const auto pool = kernels::plane_conv_family()().max_pool2_gradient;
  const float *from = x.data_ptr<float>(), *dy = gradient.data_ptr<float>();
  float* to = dx.data_ptr<float>();
  each_plane(x, [&](int64_t p) {
    pool(from + p * values, row, dy + p * height * width, width, to + p * values, height, width);
  });
  return dx;
}

class MaxPool2 : public torch::autograd::Function<MaxPool2> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    return pooled_planes(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("max_pool2");
    return {gradient_of_planes(ctx->get_saved_variables()[0], gradient[0].contiguous())};
  }
};

}  // namespace

at::Tensor max_pool2(const at::Tensor& x) {
  const bool planes = x.dim() == 4 && x.scalar_type() == at::kFloat && x.device().is_cpu() &&
                      x.is_contiguous() && x.size(0) > 0 && x.size(2) > 1 && x.size(3) > 1;
  if (!planes) return at::max_pool2d(x, {2, 2}, {2, 2});
  const bool recorded = torch::autograd::GradMode::is_enabled() && x.requires_grad();
  return recorded ? MaxPool2::apply(x) : pooled_planes(x);
}

}  // namespace gw::ops
