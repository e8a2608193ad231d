#include "gatewright/ops/row_product.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include "gatewright/base/check.h"
#include "gatewright/kernels/row_product/family.h"

namespace gw::ops {
namespace {

// 65536 values are 256 kB: some 10 µs from the second cache; more are worth several threads.
constexpr int64_t kMostRows = 8, kMostValues = 65536;

bool dense_floats(const at::Tensor& t, bool graph) {
  return t.scalar_type() == at::kFloat && t.device().is_cpu() && t.layout() == at::kStrided &&
         t.is_contiguous() && !(graph && t.requires_grad());
}

}  // namespace

bool row_product_pays(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const bool graph = at::GradMode::is_enabled();
  return x.dim() == 2 && x.size(0) > 0 && x.size(0) <= kMostRows && weight.dim() == 2 &&
         weight.size(1) == x.size(1) && weight.numel() > 0 && weight.numel() <= kMostValues &&
         dense_floats(x, graph) && dense_floats(weight, graph) &&
         (!bias.defined() || (bias.numel() == weight.size(0) && dense_floats(bias, graph))) &&
         !at::autocast::is_cpu_enabled();
}

at::Tensor row_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  GW_ENSURE(row_product_pays(x, weight, bias), "row_product: {} dimensions of {}", x.dim(),
            c10::toString(x.scalar_type()));
  const int64_t rows = x.size(0), out = weight.size(0);
  auto y = at::empty({rows, out}, x.options().requires_grad(false));
  kernels::row_product_family()().run(x.data_ptr<float>(), rows, x.size(1), weight.data_ptr<float>(),
                                      bias.defined() ? bias.data_ptr<float>() : nullptr, out,
                                      y.data_ptr<float>());
  return y;
}

}  // namespace gw::ops
