#include "gatewright/ops/row_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/kernels/row_product/family.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/step_log.h"

namespace gw::ops {
namespace {

// Of 65536 values (256 kB, in the second cache) a row takes 3 to 10 µs. Beyond, libtorch's product of many
// rows is worth its calls: two to three times as many operations a second.
constexpr int64_t kMostValues = 65536, kValuesPerTask = 1 << 18;

bool dense_floats(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat && t.device().is_cpu() && t.layout() == at::kStrided &&
         t.is_contiguous();
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t rows = x.size(0), out = weight.size(0);
  auto y = at::empty({rows, out}, x.options().requires_grad(false));
  const auto& table = kernels::row_product_family()();
  const auto *from = x.data_ptr<float>(), *w = weight.data_ptr<float>(),
             *b = bias.defined() ? bias.data_ptr<float>() : nullptr;
  auto* to = y.data_ptr<float>();
  const int64_t in = x.size(1);
  at::parallel_for(0, rows, std::max<int64_t>(1, kValuesPerTask / weight.numel()),
                   [&](int64_t begin, int64_t end) {
                     table.run(from + begin * in, end - begin, in, w, b, out, to + begin * out);
                   });
  return y;
}

/// Its gradients are products of libtorch's, which have gradients of their own.
class RowProduct : public torch::autograd::Function<RowProduct> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const at::Tensor& weight) {
    ctx->save_for_backward({x, weight});
    return product(x, weight, {});
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradient) {
    const auto saved = ctx->get_saved_variables();
    const auto& g = gradient[0];
    return {ctx->needs_input_grad(0) ? at::matmul(g, saved[1]) : at::Tensor(),
            ctx->needs_input_grad(1) ? at::matmul(g.t(), saved[0]) : at::Tensor()};
  }
};

}  // namespace

bool row_product_fits(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return x.dim() == 2 && x.size(0) > 0 && weight.dim() == 2 && weight.size(1) == x.size(1) &&
         weight.numel() > 0 && weight.numel() <= kMostValues && dense_floats(x) && dense_floats(weight) &&
         (!bias.defined() || (bias.numel() == weight.size(0) && dense_floats(bias))) &&
         !at::autocast::is_cpu_enabled();
}

at::Tensor row_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  GW_ENSURE(row_product_fits(x, weight, bias), "row_product: {} dimensions of {}", x.dim(),
            c10::toString(x.scalar_type()));
  const auto recorded = [](const at::Tensor& t) { return t.defined() && t.requires_grad(); };
  if (!at::GradMode::is_enabled() || !(recorded(x) || recorded(weight) || recorded(bias)))
    return product(x, weight, bias);
  const auto y = RowProduct::apply(x, weight);
  return bias.defined() ? y + bias : y;
}

at::Tensor linear_by_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!row_product_fits(x, weight, bias)) return linear(x, weight, bias);
  CostRecorder::add(x.size(0) * weight.numel());
  auto y = row_product(x, weight, bias);
  StepLog::add([&] { return Step{Step::Kind::kLinear, x, y, weight, bias}; });
  return y;
}

}  // namespace gw::ops
