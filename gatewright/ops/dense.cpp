#include "gatewright/ops/dense.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/kernels/moe_ffn/linear.h"
#include "gatewright/kernels/qgemm/family.h"
#include "gatewright/ops/coded_call.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/moe_ffn_call.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

/// What one core does in a second with the matrix in its caches: values of weights that it reads or unpacks,
/// and operations.
struct CoreRates {
  double values, operations;
};

int dense_workers(int64_t rows, const DenseWeight& w, const CoreRates& rates) {
  const double values = static_cast<double>(w.in) * static_cast<double>(w.out);
  return worthwhile_workers(values / rates.values +
                            2 * static_cast<double>(rows) * values / rates.operations);
}

template <class T>
constexpr CoreRates kRates{60e9 / sizeof(T), 100e9};
/// A Zen 3, 576 by 576: a row takes 8 µs with codes of 4 bits and 10 with those of 8, whose rows have two
/// bytes.
constexpr CoreRates kRatesOf4{50e9, 200e9}, kRatesOf8{50e9, 100e9};

template <class T>
at::Tensor product(const at::Tensor& x, const DenseWeight& w) {
  using Sum = typename kernels::SumOf<T>::type;
  const auto y = at::empty({x.size(0), w.out}, x.options());
  TorchPool pool(dense_workers(x.size(0), w, kRates<T>));
  Workspace memory;
  kernels::LinearProblem<T> p;
  p.rows = x.size(0), p.in = w.in, p.out = w.out, p.x = static_cast<const T*>(x.data_ptr());
  kernels::CodedRows codes;
  if (w.kept.defined())
    codes = coded_rows(w.kept), p.weight.coded = &codes;
  else
    p.weight.data = static_cast<const T*>(w.weight.data_ptr());
  p.weight.bias = w.bias.defined() ? static_cast<const Sum*>(w.bias.data_ptr()) : nullptr;
  p.y = static_cast<T*>(y.data_ptr());
  kernels::linear_forward<T>(Types<T>::level(), p, pool, memory);
  return y;
}

template <class T>
at::Tensor coded_product(const at::Tensor& x, const DenseWeight& w) {
  const auto y = at::empty({x.size(0), w.out}, x.options());
  TorchPool pool(dense_workers(x.size(0), w, w.bits == 4 ? kRatesOf4 : kRatesOf8));
  Workspace memory;
  kernels::QuantisedLinearProblem<T> p;
  p.rows = x.size(0), p.in = w.in, p.out = w.out, p.x = static_cast<const T*>(x.data_ptr());
  p.weight = {w.codes.data_ptr<uint8_t>(), w.scales.data_ptr<float>(),
              w.bias.defined() ? w.bias.data_ptr<float>() : nullptr, w.bits, w.group};
  p.y = static_cast<T*>(y.data_ptr());
  kernels::quantised_linear<T>(kernels::qgemm_family()(), Types<T>::level(), p, pool, memory);
  return y;
}

void check_dense(const at::Tensor& x, const DenseWeight& w) {
  const auto type = x.scalar_type();
  const bool few = w.codes.defined() || w.kept.defined();
  const bool typed = few ? type == at::kFloat || type == at::kBFloat16 : type == w.weight.scalar_type();
  GW_CHECK(x.dim() == 2 && x.size(1) == w.in && typed && x.device().is_cpu(),
           "dense: expected tokens [N, {}] of {} on the CPU, got {} dimensions of {}", w.in,
           few ? "f32 or bf16" : c10::toString(w.weight.scalar_type()), x.dim(), c10::toString(type));
  GW_CHECK(!x.requires_grad() || !at::GradMode::is_enabled(),
           "dense: expected a call without gradients; use NoGradGuard, or linear() for training");
}

}  // namespace

int64_t DenseWeight::coded_bytes() const {
  int64_t total = kept.defined() ? kept.bytes() : blocks.bytes();
  for (const auto& t : {codes, scales}) total += t.defined() ? static_cast<int64_t>(t.nbytes()) : 0;
  return total;
}

int64_t DenseWeight::bytes() const {
  int64_t total = coded_bytes();
  for (const auto& t : {weight, bias}) total += t.defined() ? static_cast<int64_t>(t.nbytes()) : 0;
  return total;
}

DenseWeight dense_weight(const at::Tensor& weight, const at::Tensor& bias) {
  const auto type = weight.scalar_type();
  GW_CHECK(weight.dim() == 2 && (type == at::kFloat || type == at::kBFloat16 || type == at::kDouble),
           "dense: expected a matrix [out, in] of f32, bf16 or f64, got {} dimensions of {}", weight.dim(),
           c10::toString(type));
  DenseWeight w;
  w.weight = weight.detach().contiguous(), w.out = weight.size(0), w.in = weight.size(1);
  if (bias.defined()) w.bias = bias.detach().to(type == at::kDouble ? at::kDouble : at::kFloat).contiguous();
  return w;
}

DenseWeight dense_quantised(const at::Tensor& weight, const at::Tensor& bias, int64_t bits, int64_t group) {
  GW_CHECK(weight.dim() == 2, "dense: expected a matrix [out, in], got {} dimensions", weight.dim());
  const auto coded = quantise(weight.unsqueeze(0), bits, group == 0 && bits == 4 ? 128 : group);
  const auto panels = quantised_panels(coded);
  DenseWeight w;
  w.codes = panels.codes, w.scales = panels.scales, w.bits = bits, w.group = coded.group;
  w.out = weight.size(0), w.in = weight.size(1);
  if (bias.defined()) w.bias = bias.detach().to(at::kFloat).contiguous();
  return w;
}

DenseWeight dense_coded(const CodedMatrix& matrix, const at::Tensor& bias) {
  check_coded("dense", matrix);
  DenseWeight w;
  w.out = matrix.out, w.in = matrix.in();
  if (matrix.form == FewBits::blocks)
    w.blocks = pack_blocks({matrix});
  else
    w.kept = matrix;
  GW_CHECK(!bias.defined() || bias.sizes().equals({w.out}), "dense: expected {} biases, got {}", w.out,
           bias.defined() ? bias.numel() : 0);
  if (bias.defined()) w.bias = bias.detach().to(at::kFloat).contiguous();
  return w;
}

at::Tensor dense(const at::Tensor& given, const DenseWeight& w) {
  if (w.blocks.defined()) return dense_blocks(given, w.blocks, w.bias);
  check_dense(given, w);
  CostRecorder::add(given.size(0) * w.in * w.out);
  const auto x = given.contiguous();
  if (w.codes.defined())
    return x.scalar_type() == at::kFloat ? coded_product<float>(x, w) : coded_product<kernels::Bf16>(x, w);
  if (x.scalar_type() == at::kFloat) return product<float>(x, w);
  return x.scalar_type() == at::kDouble ? product<double>(x, w) : product<kernels::Bf16>(x, w);
}

}  // namespace gw::ops
