#include "gatewright/ops/activation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "gatewright/base/check.h"
#include "gatewright/kernels/activations/family.h"
#include "gatewright/ops/first_order.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kPart = 4096;  // values of one task and of one partial sum of parameters' gradients

template <class S>
const kernels::UnitRows<S>& rows_of(int64_t unit) {
  if constexpr (std::is_same_v<S, double>) {
    return kernels::units_ref_f64.rows[unit];
  } else {
    return kernels::activation_family()().rows[unit];
  }
}

/// body(first, count) over parts, by many threads.
template <class Body>
void parts(int64_t n, const Body& body) {
  at::parallel_for(0, (n + kPart - 1) / kPart, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) body(p * kPart, std::min(kPart, n - p * kPart));
  });
}

template <class S>
at::Tensor forward_of(const at::Tensor& x, int64_t unit, const at::Tensor& parameters) {
  auto y = at::empty_like(x);
  const S *from = x.data_ptr<S>(), *p = parameters.data_ptr<S>();
  S* to = y.data_ptr<S>();
  parts(x.numel(), [&](int64_t i, int64_t n) { rows_of<S>(unit).value(from + i, n, p, to + i); });
  return y;
}

template <class S>
at::Tensor input_gradient(const at::Tensor& x, const at::Tensor& dy, int64_t unit,
                          const at::Tensor& parameters) {
  auto dx = at::empty_like(x);
  const S *from = x.data_ptr<S>(), *d = dy.data_ptr<S>(), *p = parameters.data_ptr<S>();
  S* to = dx.data_ptr<S>();
  parts(x.numel(), [&](int64_t i, int64_t n) {
    S value[64], slope[64];
    for (int64_t j = i; j < i + n; j += 64) {
      const int64_t count = std::min<int64_t>(64, i + n - j);
      rows_of<S>(unit).slope(from + j, count, p, value, slope);
      for (int64_t k = 0; k < count; ++k) to[j + k] = d[j + k] * slope[k];
    }
  });
  return dx;
}

template <class S>
at::Tensor parameter_gradient(const at::Tensor& x, const at::Tensor& dy, int64_t unit,
                              const at::Tensor& parameters) {
  const int64_t count = parameters.numel(), n = x.numel();
  auto sums = at::zeros({(n + kPart - 1) / kPart, count}, x.options());
  const S *from = x.data_ptr<S>(), *d = dy.data_ptr<S>(), *p = parameters.data_ptr<S>();
  S* to = sums.data_ptr<S>();
  parts(n, [&](int64_t i, int64_t many) {
    std::vector<S> by(static_cast<size_t>(count * many));
    rows_of<S>(unit).by(from + i, many, p, by.data());
    for (int64_t j = 0; j < count; ++j) {
      S sum = 0;
      for (int64_t k = 0; k < many; ++k) sum += d[i + k] * by[static_cast<size_t>(j * many + k)];
      to[i / kPart * count + j] = sum;
    }
  });
  return sums.sum(0);
}

class Activate : public torch::autograd::Function<Activate> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& parameters,
                            int64_t unit) {
    ctx->save_for_backward({x, parameters});
    ctx->saved_data["unit"] = unit;
    return x.scalar_type() == at::kDouble ? forward_of<double>(x, unit, parameters)
                                          : forward_of<float>(x, unit, parameters);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("activation");
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &p = saved[1];
    const auto unit = ctx->saved_data["unit"].toInt();
    const auto dy = gradient[0].to(x.scalar_type()).contiguous();
    const bool wide = x.scalar_type() == at::kDouble;
    at::Tensor dx, dp;
    if (ctx->needs_input_grad(0))
      dx = wide ? input_gradient<double>(x, dy, unit, p) : input_gradient<float>(x, dy, unit, p);
    if (p.numel() > 0 && ctx->needs_input_grad(1))
      dp = wide ? parameter_gradient<double>(x, dy, unit, p) : parameter_gradient<float>(x, dy, unit, p);
    return {dx, dp, at::Tensor()};
  }
};

/// What libtorch computes itself, twice differentiable; the bits of models that were trained with these.
at::Tensor by_libtorch(const at::Tensor& x, const std::string& name) {
  if (name == "identity") return x;
  if (name == "relu") return at::relu(x);
  if (name == "relu_squared") return at::relu(x).square();
  if (name == "sigmoid") return at::sigmoid(x);
  if (name == "tanh") return at::tanh(x);
  if (name == "silu") return at::silu(x);
  if (name == "quick_gelu") return x * at::sigmoid(1.702 * x);
  if (name == "gelu") return at::gelu(x);
  if (name == "gelu_tanh") return 0.5 * x * (1 + at::tanh(0.79788456080286536 * (x + 0.044715 * x.pow(3))));
  return {};
}

}  // namespace

at::Tensor activation(const at::Tensor& x, const ActivationFunction& f, const at::Tensor& parameters) {
  GW_CHECK(x.defined() && x.device().is_cpu(), "activation: expected a tensor on the CPU, got {}",
           x.defined() ? x.device().str() : "nothing");
  const auto dtype = x.scalar_type();
  GW_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble,
           "activation: expected f32, bf16 or f64, got {}", c10::toString(dtype));
  const auto count = static_cast<int64_t>(f.parameters().size());
  GW_CHECK(!parameters.defined() || (f.learned() && parameters.dim() == 1 && parameters.size(0) == count &&
                                     parameters.is_floating_point()),
           "activation: expected {} learned parameters of {}, got {}", f.learned() ? count : 0, f.name(),
           parameters.defined() ? parameters.numel() : 0);
  if (const auto y = by_libtorch(x, f.name()); y.defined()) return y;
  const auto type = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const auto p = parameters.defined() ? parameters : at::tensor(f.parameters(), at::kDouble);
  return Activate::apply(x.to(type).contiguous(), p.to(type).contiguous(), static_cast<int64_t>(f.unit()))
      .to(dtype);
}

}  // namespace gw::ops
