#include "gatewright/ops/moe_ffn.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/moe_ffn_problem.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What a call has beside the kernels' part.
struct Call : FfnCall {
  bool recompute = false, recorded = false;
  std::vector<int64_t> present;  ///< which inputs are given: libtorch takes no undefined ones
};

// Sums over no inputs are zero, and what is left is the biases: one input, or one hidden value, of weight
// zero says the same to the kernels.
at::Tensor padded(const at::Tensor& t, int64_t last, int64_t before) {
  return t.defined() ? at::constant_pad_nd(t, t.dim() > 1 ? std::vector<int64_t>{0, last, 0, before}
                                                          : std::vector<int64_t>{0, last})
                     : t;
}
FfnWeights with_one_value(const FfnWeights& w, int64_t d, int64_t h) {
  return {padded(w.gate, d, h),    padded(w.up, d, h), padded(w.down, h, 0), padded(w.gate_bias, h, 0),
          padded(w.up_bias, h, 0), w.down_bias,        w.activation};
}

class MoeFfn : public torch::autograd::Function<MoeFfn> {
 public:
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs, const Call& call) {
    variable_list in(kFfnInputs);
    for (size_t i = 0; i < call.present.size(); ++i) in[static_cast<size_t>(call.present[i])] = inputs[i];
    return {answer(ctx, in, call)};
  }

  /// `ctx` is null where nothing is recorded.
  static at::Tensor answer(AutogradContext* ctx, const variable_list& in, const Call& call) {
    switch (in[kX].scalar_type()) {
      case at::kFloat:
        return run<float>(ctx, in, call);
      case at::kBFloat16:
        return run<kernels::Bf16>(ctx, in, call);
      default:
        return run<double>(ctx, in, call);
    }
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("moe_ffn");
    const auto saved = ctx->get_saved_variables();
    Call call;
    call.token = saved[kFfnInputs];
    call.offsets = ctx->saved_data["offsets"].toIntVector();
    call.activation = {static_cast<kernels::Activation>(ctx->saved_data["activation"].toInt()),
                       ctx->saved_data["unit"].toInt(), ctx->saved_data["parameters"].toDoubleVector(),
                       false};
    call.bounds = {ctx->saved_data["bounded"].toBool(), ctx->saved_data["limit"].toDouble(),
                   ctx->saved_data["shift"].toDouble()};
    call.glu = saved[kGate].defined();
    auto out = [&] {
      switch (saved[kX].scalar_type()) {
        case at::kFloat:
          return back<float>(ctx, saved, call, gradient[0]);
        case at::kBFloat16:
          return back<kernels::Bf16>(ctx, saved, call, gradient[0]);
        default:
          return back<double>(ctx, saved, call, gradient[0]);
      }
    }();
    variable_list given;
    for (const auto i : ctx->saved_data["present"].toIntVector())
      given.push_back(out[static_cast<size_t>(i)]);
    given.emplace_back();  // Call
    return given;
  }

 private:
  template <class T>
  static at::Tensor run(AutogradContext* ctx, const variable_list& in, const Call& call) {
    const FfnPrepared<T> prepared(in, call);
    const auto& p = prepared.problem;
    at::Tensor gate, up;
    if (call.recorded && !call.recompute) {
      up = pooled_empty({p.offsets[p.experts], p.hidden}, prepared.held[kX].options().requires_grad(false));
      if (call.glu) gate = pooled_empty(up.sizes(), up.options());
    }
    const auto y = ffn_run(prepared, gate, up);
    if (call.recorded) record(ctx, in, call, gate, up);
    return y.to(Types<T>::value);
  }

  static void record(AutogradContext* ctx, const variable_list& in, const Call& call, const at::Tensor& gate,
                     const at::Tensor& up) {
    auto keep = in;
    keep.push_back(call.token), keep.push_back(gate), keep.push_back(up);
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["offsets"] = call.offsets;
    ctx->saved_data["activation"] = static_cast<int64_t>(call.activation.fast);
    ctx->saved_data["unit"] = call.activation.place;
    ctx->saved_data["parameters"] = call.activation.parameters;
    ctx->saved_data["bounded"] = call.bounds.given, ctx->saved_data["limit"] = call.bounds.limit,
    ctx->saved_data["shift"] = call.bounds.shift;
    ctx->saved_data["present"] = call.present;
  }

  template <class T>
  static variable_list back(AutogradContext* ctx, const variable_list& saved, const Call& call,
                            const at::Tensor& dy) {
    const FfnPrepared<T> prepared(saved, call);
    variable_list out(kFfnInputs);
    std::vector<bool> wanted(kFfnInputs, false);
    const auto present = ctx->saved_data["present"].toIntVector();
    for (size_t i = 0; i < present.size(); ++i)
      wanted[static_cast<size_t>(present[i])] = ctx->needs_input_grad(i);
    ffn_back(prepared, saved[kFfnInputs + 1], saved[kFfnInputs + 2], dy, wanted, out);
    for (size_t i = 0; i < kFfnInputs; ++i) {
      if (out[i].defined()) out[i] = out[i].to(saved[i].scalar_type());
    }
    return out;
  }
};

}  // namespace

at::Tensor moe_ffn(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                   const at::Tensor& weight, const FfnWeights& w, const FfnOptions& options,
                   const PackedFfn& packed) {
  GW_CHECK(x.defined() && x.dim() == 2, "moe_ffn: expected x [T, D], got {} dimensions",
           x.defined() ? x.dim() : 0);
  GW_CHECK(x.device().is_cpu(), "moe_ffn: expected x on the CPU, got it on {}{}", x.device().str(),
           device_remedy(x.device()));
  const auto dtype = x.scalar_type();
  GW_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble,
           "moe_ffn: expected x in f32, bf16 or f64, got {}", c10::toString(dtype));
  check_ffn_weights(w, x);
  GW_CHECK(x.size(1) == w.up.size(2), "moe_ffn: expected x [T, {}] for these weights, got [{}, {}]",
           w.up.size(2), x.size(0), x.size(1));
  check_ffn_rows(x, token, offsets, weight, w.up.size(0));
  if (packed.defined()) check_packed(w, packed);
  const int64_t no_input = x.size(1) == 0 ? 1 : 0, no_hidden = w.up.size(1) == 0 ? 1 : 0;
  if (no_input + no_hidden > 0)
    return moe_ffn(padded(x, no_input, 0), token, offsets, weight, with_one_value(w, no_input, no_hidden),
                   options);
  const bool glu = w.gate.defined();
  const auto activation = ffn_activation(options.activation);
  check_ffn_activation(activation, options.activation, w);
  CostRecorder::add(token.size(0) * w.up.size(1) * (w.up.size(2) * (glu ? 2 : 1) + w.down.size(1)));
  Call call{
      {token, offsets, activation, ffn_bounds(options, glu), glu, packed}, options.recompute, false, {}};
  variable_list inputs;
  const variable_list all{x,           weight,    w.gate,      w.up,        w.down,
                          w.gate_bias, w.up_bias, w.down_bias, w.activation};  // in the order of FfnInput
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].defined()) call.present.push_back(static_cast<int64_t>(i)), inputs.push_back(all[i]);
  }
  call.recorded = at::GradMode::is_enabled() &&
                  std::any_of(inputs.begin(), inputs.end(), [](const auto& t) { return t.requires_grad(); });
  if (!call.recorded) {  // a node of the graph costs some µs
    const at::NoGradGuard no_grad;
    return MoeFfn::answer(nullptr, all, call);
  }
  // As a TensorList: Function takes a std::vector<Tensor> for a constant and would record nothing.
  return MoeFfn::apply(at::TensorList(inputs), call)[0];
}

}  // namespace gw::ops
