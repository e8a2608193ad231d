#include "gatewright/ops/moe_ffn.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/moe_ffn_call.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum Input : size_t { kX, kWeight, kGate, kUp, kDown, kGateBias, kUpBias, kDownBias, kActivation, kInputs };

/// Where rows go and what happens to them: everything of a call that has no gradient.
struct Call {
  at::Tensor token;
  std::vector<int64_t> offsets;
  FfnActivation activation;
  kernels::GluBounds bounds;
  bool glu = false, recompute = false, recorded = false;
  PackedFfn packed;
  std::vector<int64_t> present;  ///< which inputs are given: libtorch takes no undefined ones
};

template <class P, class T>
P* data(const at::Tensor& t) {
  return t.defined() && t.numel() > 0 ? static_cast<P*>(t.data_ptr()) : nullptr;
}

/// A call with dense tensors of the right types, and the problem that points into them.
template <class T>
struct Prepared {
  using Sum = typename kernels::SumOf<T>::type;
  std::vector<at::Tensor> held;
  at::Tensor token, constants;  ///< constants: of the activation, where none are learned
  kernels::FfnProblem<T> problem;

  Prepared(const variable_list& in, const Call& call) : held(kInputs) {
    for (size_t i = 0; i < kInputs; ++i) {
      if (!in[i].defined()) continue;
      const bool sums = i == kWeight || i >= kGateBias;  // kActivation too
      held[i] = in[i].to(sums ? Types<T>::sum : Types<T>::value).contiguous();
    }
    token = call.token.contiguous();
    auto& p = problem;
    p.experts = held[kUp].size(0), p.hidden = held[kUp].size(1), p.in = held[kUp].size(2),
    p.out = held[kDown].size(1);
    p.tokens = held[kX].size(0);
    p.offsets = call.offsets.data(), p.token = data<int64_t, T>(token),
    p.weight = data<Sum, T>(held[kWeight]), p.x = data<T, T>(held[kX]);
    p.up = side(kUp, kUpBias, call.packed.up), p.down = side(kDown, kDownBias, call.packed.down);
    if (call.glu) p.gate = side(kGate, kGateBias, call.packed.gate);
    p.activation = call.activation.fast, p.bounds = call.bounds;
    set_unit(call.activation);
  }

 private:
  void set_unit(const FfnActivation& f) {
    const auto count = static_cast<int64_t>(f.parameters.size());
    if (count > 0 && !held[kActivation].defined())
      constants = at::tensor(f.parameters, at::kDouble).to(Types<T>::sum).repeat({problem.experts, 1});
    const auto& from = constants.defined() ? constants : held[kActivation];
    problem.unit = {f.place, data<Sum, T>(from), static_cast<int>(count)};
  }

  kernels::FfnWeight<T> side(Input weight, Input bias, const at::Tensor& packed) const {
    return {data<T, T>(held[weight]), data<Sum, T>(held[bias]), data<T, T>(packed)};
  }
};

bool nothing_to_do(const at::Tensor& down, int64_t rows) { return rows == 0 || down.numel() == 0; }

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

// Calls estimated below 50 µs stay on one thread: wake-up and barrier cost at least 8 µs. E = 16, K = 2, D =
// 128, H = 256, f32, two cores:
// 11 µs instead of 19 at one token, 28 instead of 40 at four; at eight 52 instead of 44, so those are shared.
// `writes_weights`: gradients of all experts' weights are written, zeros among them.
template <class T>
int most_workers(const kernels::FfnProblem<T>& p, bool writes_weights) {
  constexpr double kBytes = 60e9, kOperations = 100e9,
                   kBrief = 50e-6;  // a second on one core, with weights in its caches; seconds
  int64_t active = 0;
  for (int64_t e = 0; e < p.experts; ++e) active += p.offsets[e + 1] > p.offsets[e] ? 1 : 0;
  const double values =
      static_cast<double>(p.hidden) * static_cast<double>((p.gate.given() ? 2 : 1) * p.in + p.out);
  if (writes_weights) active += p.experts;
  const double seconds = static_cast<double>(active) * values * sizeof(T) / kBytes +
                         2 * static_cast<double>(p.offsets[p.experts]) * values / kOperations;
  return seconds < kBrief ? 1 : std::numeric_limits<int>::max();
}

class MoeFfn : public torch::autograd::Function<MoeFfn> {
 public:
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs, const Call& call) {
    variable_list in(kInputs);
    for (size_t i = 0; i < call.present.size(); ++i) in[static_cast<size_t>(call.present[i])] = inputs[i];
    switch (in[kX].scalar_type()) {
      case at::kFloat:
        return {run<float>(ctx, in, call)};
      case at::kBFloat16:
        return {run<kernels::Bf16>(ctx, in, call)};
      default:
        return {run<double>(ctx, in, call)};
    }
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("moe_ffn");
    const auto saved = ctx->get_saved_variables();
    Call call;
    call.token = saved[kInputs];
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
  static kernels::SavedActivations<T> places(const at::Tensor& gate, const at::Tensor& up) {
    return {data<T, T>(gate), data<T, T>(up)};
  }

  template <class T>
  static at::Tensor run(AutogradContext* ctx, const variable_list& in, const Call& call) {
    const Prepared<T> prepared(in, call);
    const auto& p = prepared.problem;
    const auto& x = prepared.held[kX];
    const auto rows = call.offsets.back();
    at::Tensor gate, up;
    if (call.recorded && !call.recompute) {
      up = pooled_empty({rows, p.hidden}, x.options().requires_grad(false));
      if (call.glu) gate = pooled_empty(up.sizes(), up.options());
    }
    auto y = pooled_empty({p.tokens, p.out}, x.options().dtype(Types<T>::sum).requires_grad(false));
    if (nothing_to_do(prepared.held[kDown], rows)) {
      y.zero_();
    } else {
      TorchPool pool(most_workers(p, false));
      Workspace memory;
      kernels::ffn_forward<T>(Types<T>::level(), p, static_cast<typename Prepared<T>::Sum*>(y.data_ptr()),
                              places<T>(gate, up), pool, memory);
    }
    if (call.recorded) {
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
    return y.to(Types<T>::value);
  }

  template <class T>
  static variable_list back(AutogradContext* ctx, const variable_list& saved, const Call& call,
                            const at::Tensor& dy) {
    const Prepared<T> prepared(saved, call);
    variable_list out(kInputs);
    std::vector<bool> wanted(kInputs, false);
    const auto present = ctx->saved_data["present"].toIntVector();
    for (size_t i = 0; i < present.size(); ++i)
      wanted[static_cast<size_t>(present[i])] = ctx->needs_input_grad(i);
    kernels::FfnGradients<T> to;
    using Sum = typename Prepared<T>::Sum;
    const auto place = [&](Input i, at::ScalarType type) {
      if (!wanted[i]) return static_cast<void*>(nullptr);
      out[i] = pooled_empty(saved[i].sizes(), saved[i].options().dtype(type).requires_grad(false));
      return out[i].numel() > 0 ? out[i].data_ptr() : nullptr;
    };
    const auto value = Types<T>::value, sum = Types<T>::sum;
    to.x = static_cast<Sum*>(place(kX, sum)), to.weight = static_cast<Sum*>(place(kWeight, sum));
    to.gate = static_cast<T*>(place(kGate, value)), to.up = static_cast<T*>(place(kUp, value)),
    to.down = static_cast<T*>(place(kDown, value));
    to.gate_bias = static_cast<Sum*>(place(kGateBias, sum)),
    to.up_bias = static_cast<Sum*>(place(kUpBias, sum));
    to.down_bias = static_cast<Sum*>(place(kDownBias, sum));
    to.unit = static_cast<Sum*>(place(kActivation, sum));
    if (nothing_to_do(prepared.held[kDown], call.offsets.back())) {
      for (auto& g : out) g = g.defined() ? g.zero_() : g;
    } else {
      compute(prepared, saved, dy.to(value).contiguous(), to);
    }
    for (size_t i = 0; i < kInputs; ++i) {
      if (out[i].defined()) out[i] = out[i].to(saved[i].scalar_type());
    }
    return out;
  }

  template <class T>
  static void compute(const Prepared<T>& prepared, const variable_list& saved, const at::Tensor& dy,
                      const kernels::FfnGradients<T>& to) {
    const auto& p = prepared.problem;
    auto gate = saved[kInputs + 1], up = saved[kInputs + 2];
    TorchPool pool(most_workers(p, true));
    if (!up.defined()) {
      Workspace memory;
      up = pooled_empty({p.offsets[p.experts], p.hidden}, prepared.held[kX].options().requires_grad(false));
      if (p.gate.data != nullptr) gate = pooled_empty(up.sizes(), up.options());
      kernels::ffn_recompute<T>(Types<T>::level(), p, places<T>(gate, up), pool, memory);
    }
    Workspace memory;
    const auto kept = places<T>(gate, up);
    kernels::ffn_backward<T>(Types<T>::level(), p, {kept.gate, kept.up}, data<T, T>(dy), to, pool, memory);
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
  Call call{token, offsets, activation, ffn_bounds(options, glu), glu, options.recompute, false, packed, {}};
  variable_list inputs;
  const variable_list all{x,           weight,    w.gate,      w.up,        w.down,
                          w.gate_bias, w.up_bias, w.down_bias, w.activation};  // in the order of Input
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].defined()) call.present.push_back(static_cast<int64_t>(i)), inputs.push_back(all[i]);
  }
  call.recorded = at::GradMode::is_enabled() &&
                  std::any_of(inputs.begin(), inputs.end(), [](const auto& t) { return t.requires_grad(); });
  // As a TensorList: Function takes a std::vector<Tensor> for a constant and would record nothing.
  return MoeFfn::apply(at::TensorList(inputs), call)[0];
}

}  // namespace gw::ops
