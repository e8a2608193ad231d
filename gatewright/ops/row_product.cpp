#include "gatewright/ops/row_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

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

bool dense_floats(const at::Tensor& t, bool graph) {
  return t.scalar_type() == at::kFloat && t.device().is_cpu() && t.layout() == at::kStrided &&
         t.is_contiguous() && !(graph && t.requires_grad());
}

}  // namespace

bool row_product_pays(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const bool graph = at::GradMode::is_enabled();
  return x.dim() == 2 && x.size(0) > 0 && weight.dim() == 2 && weight.size(1) == x.size(1) &&
         weight.numel() > 0 && weight.numel() <= kMostValues && dense_floats(x, graph) &&
         dense_floats(weight, graph) &&
         (!bias.defined() || (bias.numel() == weight.size(0) && dense_floats(bias, graph))) &&
         !at::autocast::is_cpu_enabled();
}

at::Tensor row_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  GW_ENSURE(row_product_pays(x, weight, bias), "row_product: {} dimensions of {}", x.dim(),
            c10::toString(x.scalar_type()));
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

at::Tensor linear_by_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!row_product_pays(x, weight, bias)) return linear(x, weight, bias);
  CostRecorder::add(x.size(0) * weight.numel());
  auto y = row_product(x, weight, bias);
  StepLog::add([&] { return Step{Step::Kind::kLinear, x, y, weight, bias}; });
  return y;
}

}  // namespace gw::ops
