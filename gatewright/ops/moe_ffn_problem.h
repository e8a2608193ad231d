#pragma once
// From tensors to a problem of the feed-forward kernels and back, without autograd: what moe_ffn and
// experts_ffn share. Not for users.
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "gatewright/ops/moe_ffn_call.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {

/// The tensors of a call, in the order in which gradients come.
enum FfnInput : size_t {
  kX,
  kWeight,
  kGate,
  kUp,
  kDown,
  kGateBias,
  kUpBias,
  kDownBias,
  kActivation,
  kFfnInputs
};

/// Where rows go and what happens to them: everything of a call that has no gradient.
struct FfnCall {
  at::Tensor token;
  std::vector<int64_t> offsets;
  FfnActivation activation;
  kernels::GluBounds bounds;
  bool glu = false;
  PackedFfn packed;
};

template <class P, class T>
P* data(const at::Tensor& t) {
  return t.defined() && t.numel() > 0 ? static_cast<P*>(t.data_ptr()) : nullptr;
}

/// Stacks are read as they lie, whatever their strides, unless values stand for several.
inline bool readable(const at::Tensor& stack) {
  return stack.is_contiguous() || (stack.stride(0) > 0 && stack.stride(1) > 0 && stack.stride(2) > 0);
}
inline kernels::FfnLayout ffn_layout(const at::Tensor& stack) {
  const auto lane = stack.stride(1), k = stack.stride(2);
  return {stack.stride(0), std::max(lane, k), std::min(lane, k), k <= lane};
}

/// A call with tensors of the right types, and the problem that points into them.
template <class T>
struct FfnPrepared {
  using Sum = typename kernels::SumOf<T>::type;
  std::vector<at::Tensor> held;
  at::Tensor token, constants;  ///< constants: of the activation, where none are learned
  kernels::FfnProblem<T> problem;

  FfnPrepared(const std::vector<at::Tensor>& in, const FfnCall& call) : held(kFfnInputs) {
    for (size_t i = 0; i < kFfnInputs; ++i) {
      if (!in[i].defined()) continue;
      const bool sums = i == kWeight || i >= kGateBias;  // kActivation too
      held[i] = in[i].to(sums ? Types<T>::sum : Types<T>::value);
      if (i < kGate || i > kDown || !readable(held[i])) held[i] = held[i].contiguous();
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

  kernels::FfnWeight<T> side(FfnInput weight, FfnInput bias, const at::Tensor& packed) const {
    return {data<T, T>(held[weight]), data<Sum, T>(held[bias]), data<T, T>(packed), ffn_layout(held[weight])};
  }
};

inline bool nothing_to_do(const at::Tensor& down, int64_t rows) { return rows == 0 || down.numel() == 0; }

// A call that one core ends in 50 µs is not shared: waking and waiting cost 8 µs and more. E = 16, K = 2, D =
// 128, H = 256, f32, two cores:
// 11 µs instead of 19 at one token, 28 instead of 40 at four; at eight 52 instead of 44, so those are shared.
// `writes_weights`: gradients of all experts' weights are written, zeros among them.
template <class T>
int ffn_workers(const kernels::FfnProblem<T>& p, bool writes_weights) {
  constexpr double kBytes = 60e9, kOperations = 100e9,
                   kBrief = 50e-6;  // a second on one core, with weights in its caches; seconds
  int64_t active = 0;
  for (int64_t e = 0; e < p.experts; ++e) active += p.offsets[e + 1] > p.offsets[e] ? 1 : 0;
  const double values =
      static_cast<double>(p.hidden) * static_cast<double>((p.gate.given() ? 2 : 1) * p.in + p.out);
  if (writes_weights) active += p.experts;
  const double seconds = static_cast<double>(active) * values * sizeof(T) / kBytes +
                         2 * static_cast<double>(p.offsets[p.experts]) * values / kOperations;
  return worthwhile_workers(seconds, kBrief);
}

/// y [T, out] in the type of sums; gate and up: where what the backward pass needs goes, or undefined.
template <class T>
at::Tensor ffn_run(const FfnPrepared<T>& prepared, const at::Tensor& gate, const at::Tensor& up) {
  const auto& p = prepared.problem;
  auto y =
      pooled_empty({p.tokens, p.out}, prepared.held[kX].options().dtype(Types<T>::sum).requires_grad(false));
  if (nothing_to_do(prepared.held[kDown], p.offsets[p.experts])) return y.zero_();
  TorchPool pool(ffn_workers(p, false));
  Workspace memory;
  kernels::ffn_forward<T>(Types<T>::level(), p, static_cast<typename FfnPrepared<T>::Sum*>(y.data_ptr()),
                          {data<T, T>(gate), data<T, T>(up)}, pool, memory);
  return y;
}

/// Gradients of `wanted` inputs into out[i], which is made, in the type of the kernel, where it is undefined.
/// gate and up as ffn_run() left them, or undefined: they are computed again.
template <class T>
void ffn_back(const FfnPrepared<T>& prepared, at::Tensor gate, at::Tensor up, const at::Tensor& dy,
              const std::vector<bool>& wanted, std::vector<at::Tensor>& out) {
  using Sum = typename FfnPrepared<T>::Sum;
  const auto& p = prepared.problem;
  const auto& held = prepared.held;
  kernels::FfnGradients<T> to;
  const auto place = [&](FfnInput i) {
    if (!wanted[i]) return static_cast<void*>(nullptr);
    const auto type = i == kX ? Types<T>::sum : held[i].scalar_type();
    if (!out[i].defined())
      out[i] = pooled_empty(held[i].sizes(), held[i].options().dtype(type).requires_grad(false));
    return out[i].numel() > 0 ? out[i].data_ptr() : nullptr;
  };
  const auto stack = [&](FfnInput i, T*& data, kernels::FfnLayout& layout) {
    data = static_cast<T*>(place(i));
    if (data != nullptr) layout = ffn_layout(out[i]);
  };
  to.x = static_cast<Sum*>(place(kX)), to.weight = static_cast<Sum*>(place(kWeight));
  stack(kGate, to.gate, to.gate_layout), stack(kUp, to.up, to.up_layout),
      stack(kDown, to.down, to.down_layout);
  to.gate_bias = static_cast<Sum*>(place(kGateBias)), to.up_bias = static_cast<Sum*>(place(kUpBias));
  to.down_bias = static_cast<Sum*>(place(kDownBias)), to.unit = static_cast<Sum*>(place(kActivation));
  if (nothing_to_do(held[kDown], p.offsets[p.experts])) {
    for (auto& g : out) g = g.defined() ? g.zero_() : g;
    return;
  }
  TorchPool pool(ffn_workers(p, true));
  if (!up.defined()) {
    Workspace memory;
    up = pooled_empty({p.offsets[p.experts], p.hidden}, held[kX].options().requires_grad(false));
    if (p.gate.given()) gate = pooled_empty(up.sizes(), up.options());
    kernels::ffn_recompute<T>(Types<T>::level(), p, {data<T, T>(gate), data<T, T>(up)}, pool, memory);
  }
  Workspace memory;
  const auto dense = dy.to(Types<T>::value).contiguous();
  kernels::ffn_backward<T>(Types<T>::level(), p, {data<T, T>(gate), data<T, T>(up)}, data<T, T>(dense), to,
                           pool, memory);
}

}  // namespace gw::ops
