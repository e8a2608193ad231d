#include "gatewright/ops/moe_ffn.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "gatewright/base/error.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/moe_ffn_call.h"
#include "gatewright/ops/team.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum Input : size_t { kX, kWeight, kGate, kUp, kDown, kGateBias, kUpBias, kDownBias, kInputs };

/// Where rows go and what happens to them: everything of a call that has no gradient.
struct Call {
  at::Tensor token;
  std::vector<int64_t> offsets;
  kernels::Activation activation;
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
  at::Tensor token;
  kernels::FfnProblem<T> problem;

  Prepared(const variable_list& in, const Call& call) : held(kInputs) {
    for (size_t i = 0; i < kInputs; ++i) {
      if (!in[i].defined()) continue;
      const bool sums = i == kWeight || i >= kGateBias;
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
    p.activation = call.activation, p.bounds = call.bounds;
  }

 private:
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
  return {padded(w.gate, d, h),      padded(w.up, d, h),      padded(w.down, h, 0),
          padded(w.gate_bias, h, 0), padded(w.up_bias, h, 0), w.down_bias};
}

// A call that one core ends in 50 µs is not shared: waking and waiting cost 8 µs and more. E = 16, K = 2, D =
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
    call.activation = static_cast<kernels::Activation>(ctx->saved_data["activation"].toInt());
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
  static kernels::FfnKept<T> places(const at::Tensor& gate, const at::Tensor& up) {
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
      TorchTeam team(most_workers(p, false));
      Workspace memory;
      kernels::ffn_forward<T>(Types<T>::level(), p, static_cast<typename Prepared<T>::Sum*>(y.data_ptr()),
                              places<T>(gate, up), team, memory);
    }
    if (call.recorded) {
      auto keep = in;
      keep.push_back(call.token), keep.push_back(gate), keep.push_back(up);
      ctx->save_for_backward(std::move(keep));
      ctx->saved_data["offsets"] = call.offsets;
      ctx->saved_data["activation"] = static_cast<int64_t>(call.activation);
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
    TorchTeam team(most_workers(p, true));
    if (!up.defined()) {
      Workspace memory;
      up = pooled_empty({p.offsets[p.experts], p.hidden}, prepared.held[kX].options().requires_grad(false));
      if (p.gate.data != nullptr) gate = pooled_empty(up.sizes(), up.options());
      kernels::ffn_recompute<T>(Types<T>::level(), p, places<T>(gate, up), team, memory);
    }
    Workspace memory;
    const auto kept = places<T>(gate, up);
    kernels::ffn_backward<T>(Types<T>::level(), p, {kept.gate, kept.up}, data<T, T>(dy), to, team, memory);
  }
};

template <class T>
at::Tensor pack(const at::Tensor& weight) {
  if (!weight.defined()) return {};
  const auto dense = weight.detach().contiguous();
  const auto& gemm = *Types<T>::level().gemm;
  const auto size = kernels::packed_size(gemm, dense.size(0), dense.size(1), dense.size(2));
  auto packed = pooled_empty(
      {size},
      dense.options());  // huge pages: read once per token, weights in 4 kB pages cost 5 % of the read rate
  TorchTeam team;
  if (size > 0) {
    kernels::pack_weights(gemm, static_cast<const T*>(dense.data_ptr()), dense.size(0), dense.size(1),
                          dense.size(2), static_cast<T*>(packed.data_ptr()), team);
  }
  return packed;
}

template <class Family>
std::string chosen(const Family& family) {
  return family.levels()[static_cast<size_t>(family.chosen())].name;
}

void check_tensor(const char* name, const at::Tensor& t, at::IntArrayRef shape, const at::Tensor& x) {
  GW_CHECK(t.defined() && t.sizes() == shape, "moe_ffn: expected {} of shape [{}], got {}", name,
           fmt::join(shape, ", "), t.defined() ? fmt::format("[{}]", fmt::join(t.sizes(), ", ")) : "nothing");
  GW_CHECK(t.device().is_cpu() && t.scalar_type() == x.scalar_type(),
           "moe_ffn: expected {} in {} on the CPU as x, got {} on {}", name, c10::toString(x.scalar_type()),
           c10::toString(t.scalar_type()), t.device().str());
}

}  // namespace

void check_ffn_weights(const FfnWeights& w, const at::Tensor& like) {
  GW_CHECK(w.up.defined() && w.up.dim() == 3 && w.down.defined() && w.down.dim() == 3,
           "moe_ffn: expected up [E, H, D] and down [E, O, H], got {} and {} dimensions",
           w.up.defined() ? w.up.dim() : 0, w.down.defined() ? w.down.dim() : 0);
  const auto e = w.up.size(0), h = w.up.size(1), d = w.up.size(2), o = w.down.size(1);
  const std::array<int64_t, 3> inner{e, h, d}, outer{e, o, h};
  const std::array<int64_t, 2> inner_bias{e, h}, outer_bias{e, o};
  GW_CHECK(e > 0, "moe_ffn: expected at least one expert, got weights for none");
  check_tensor("up", w.up, inner, like), check_tensor("down", w.down, outer, like);
  if (w.gate.defined()) check_tensor("gate", w.gate, inner, like);
  GW_CHECK(w.gate.defined() || !w.gate_bias.defined(),
           "moe_ffn: expected a gate with gate_bias, got the bias alone");
  if (w.gate_bias.defined()) check_tensor("gate_bias", w.gate_bias, inner_bias, like);
  if (w.up_bias.defined()) check_tensor("up_bias", w.up_bias, inner_bias, like);
  if (w.down_bias.defined()) check_tensor("down_bias", w.down_bias, outer_bias, like);
}

void check_ffn_rows(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                    const at::Tensor& weight, int64_t experts) {
  GW_CHECK(token.defined() && token.dim() == 1 && token.scalar_type() == at::kLong && token.device().is_cpu(),
           "moe_ffn: expected token ids [N] in int64 on the CPU, got {}",
           token.defined() ? c10::toString(token.scalar_type()) : "nothing");
  const auto rows = token.size(0);
  GW_CHECK(weight.defined() && weight.dim() == 1 && weight.size(0) == rows && weight.is_floating_point() &&
               weight.device().is_cpu(),
           "moe_ffn: expected one routing weight per row ({}), got {}", rows,
           weight.defined() ? weight.numel() : 0);
  GW_CHECK(static_cast<int64_t>(offsets.size()) == experts + 1 && offsets.front() == 0 &&
               offsets.back() == rows && std::is_sorted(offsets.begin(), offsets.end()),
           "moe_ffn: expected {} offsets that rise from 0 to {} rows, got {} up to {}", experts + 1, rows,
           offsets.size(), offsets.empty() ? 0 : offsets.back());
  const auto ids = token.contiguous();
  const auto* id = ids.data_ptr<int64_t>();
  for (int64_t r = 0; r < rows; ++r) {
    GW_CHECK(id[r] >= 0 && id[r] < x.size(0), "moe_ffn: expected token ids in [0, {}), got {} in row {}",
             x.size(0), id[r], r);
  }
}

kernels::Activation ffn_activation(const std::string& name) {
  const auto& names = activation_names();
  const auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) fail("moe_ffn: unknown activation \"{}\"{}", name, near_miss(name, names));
  return static_cast<kernels::Activation>(it - names.begin());
}

kernels::GluBounds ffn_bounds(const FfnOptions& options, bool glu) {
  const double limit = options.limit, shift = options.up_shift;
  GW_CHECK(std::isfinite(limit) && limit >= 0 && std::isfinite(shift),
           "moe_ffn: expected a limit >= 0 and a shift that are finite, got {} and {}", limit, shift);
  GW_CHECK(glu || (limit == 0 && shift == 0),
           "moe_ffn: expected a gate with limit or up_shift, got none; they hold the factors of a GLU");
  return {limit > 0 || shift != 0, limit > 0 ? limit : HUGE_VAL, shift};
}

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names{"identity", "relu",       "relu_squared", "sigmoid",  "tanh",
                                              "silu",     "quick_gelu", "gelu",         "gelu_tanh"};
  return names;
}

std::string device_remedy(const at::Device& device) {
  if (!device.is_cuda()) return "; move it with x.cpu()";
  return "; the CUDA level takes arrays (gatewright/kernels/moe_ffn/cuda.h) and is not yet wired to tensors "
         "(docs/cuda.md): move it with x.cpu()";
}

std::string moe_ffn_level(at::ScalarType dtype) {
  if (dtype == at::kFloat) return chosen(kernels::moe_ffn_family());
  return dtype == at::kBFloat16 ? chosen(kernels::moe_ffn_bf16_family()) : "ref";
}

namespace {

template <class T>
void check_packed(const FfnWeights& w, const PackedFfn& packed) {
  const auto& gemm = *Types<T>::level().gemm;
  const auto one = [&](const char* name, const at::Tensor& panels, const at::Tensor& weight) {
    const int64_t size =
        weight.defined() ? kernels::packed_size(gemm, weight.size(0), weight.size(1), weight.size(2)) : 0;
    GW_CHECK((panels.defined() ? panels.numel() : 0) == size &&
                 (size == 0 || (panels.scalar_type() == weight.scalar_type() && panels.is_contiguous())),
             "moe_ffn: expected {} packed from these weights ({} values), got {} values; pack again", name,
             size, panels.defined() ? panels.numel() : 0);
  };
  one("gate", packed.gate, w.gate), one("up", packed.up, w.up), one("down", packed.down, w.down);
}

void check_packed(const FfnWeights& w, const PackedFfn& packed) {
  const auto dtype = w.up.scalar_type();
  const auto level = moe_ffn_level(dtype);
  GW_CHECK(packed.level == level,
           "moe_ffn: expected panels packed for the kernel level {}, got {}'s; pack again", level,
           packed.level);
  if (dtype == at::kFloat) return check_packed<float>(w, packed);
  if (dtype == at::kBFloat16) return check_packed<kernels::Bf16>(w, packed);
  check_packed<double>(w, packed);
}

}  // namespace

PackedFfn pack_ffn(const FfnWeights& w) {
  check_ffn_weights(w, w.up);
  const auto dtype = w.up.scalar_type();
  const auto all = [&](auto one) {
    return PackedFfn{one(w.gate), one(w.up), one(w.down), moe_ffn_level(dtype)};
  };
  if (dtype == at::kFloat) return all(pack<float>);
  if (dtype == at::kBFloat16) return all(pack<kernels::Bf16>);
  return all(pack<double>);
}

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
  CostRecorder::add(token.size(0) * w.up.size(1) * (w.up.size(2) * (glu ? 2 : 1) + w.down.size(1)));
  Call call{token,
            offsets,
            ffn_activation(options.activation),
            ffn_bounds(options, glu),
            glu,
            options.recompute,
            false,
            packed,
            {}};
  variable_list inputs;
  const variable_list all{x,      weight,      w.gate,    w.up,
                          w.down, w.gate_bias, w.up_bias, w.down_bias};  // in the order of Input
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].defined()) call.present.push_back(static_cast<int64_t>(i)), inputs.push_back(all[i]);
  }
  call.recorded = at::GradMode::is_enabled() &&
                  std::any_of(inputs.begin(), inputs.end(), [](const auto& t) { return t.requires_grad(); });
  // As a TensorList: Function takes a std::vector<Tensor> for a constant and would record nothing.
  return MoeFfn::apply(at::TensorList(inputs), call)[0];
}

}  // namespace gw::ops
