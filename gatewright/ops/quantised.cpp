#include "gatewright/ops/quantised.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "gatewright/base/check.h"
#include "gatewright/kernels/moe_ffn/quantised_ffn.h"
#include "gatewright/kernels/qgemm/family.h"
#include "gatewright/ops/held_call.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

constexpr int64_t kStep = 64;          // of groups: what the panels store together
constexpr int64_t kLargest = 1 << 20;  // of a size: products of three stay below 2^63

/// Fields that do not belong together would read beyond the codes.
void check_layer(const QuantisedFfn& w) {
  const auto side = [&](const char* name, const at::Tensor& codes, const at::Tensor& scales,
                        const at::Tensor& bias, int64_t lanes, int64_t k, int64_t group) {
    GW_CHECK(group > 0 && group % kStep == 0 && group <= 2 * kLargest,
             "moe_ffn: expected quantised {} with a group that is a multiple of {}, got {}", name, kStep,
             group);
    const auto size = kernels::quantised_size(w.experts, lanes, k, w.bits, group);
    const bool fits = codes.defined() && codes.scalar_type() == at::kByte && codes.is_contiguous() &&
                      codes.numel() == size.bytes && scales.defined() && scales.scalar_type() == at::kFloat &&
                      scales.is_contiguous() && scales.numel() == size.scales;
    GW_CHECK(fits,
             "moe_ffn: expected {} bytes of codes and {} scales for {}, got {} and {}; take what "
             "quantise_ffn() made",
             size.bytes, size.scales, name, codes.defined() ? codes.numel() : 0,
             scales.defined() ? scales.numel() : 0);
    GW_CHECK(!bias.defined() || (bias.scalar_type() == at::kFloat && bias.is_contiguous() &&
                                 bias.numel() == w.experts * lanes),
             "moe_ffn: expected {} biases of {} in f32, got {}", w.experts * lanes, name,
             bias.defined() ? bias.numel() : 0);
  };
  GW_CHECK(w.experts > 0 && (w.bits == 4 || w.bits == 8),
           "moe_ffn: expected a quantised layer of at least one expert with 4 or 8 bits, got {} with {}",
           w.experts, w.bits);
  for (const auto size : {w.experts, w.in, w.hidden, w.out}) {
    GW_CHECK(size >= 0 && size <= kLargest, "moe_ffn: expected quantised layers of sizes up to {}, got {}",
             kLargest, size);
  }
  side("up", w.up, w.up_scales, w.up_bias, w.hidden, w.in, w.in_group);
  side("down", w.down, w.down_scales, w.down_bias, w.out, w.hidden, w.hidden_group);
  if (w.gate.defined()) side("gate", w.gate, w.gate_scales, w.gate_bias, w.hidden, w.in, w.in_group);
}

template <class T>
at::Tensor run(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
               const at::Tensor& weight, const QuantisedFfn& w, const FfnOptions& options) {
  const auto side = [&](const at::Tensor& codes, const at::Tensor& scales, const at::Tensor& b,
                        int64_t group) {
    return kernels::QuantisedWeight{codes.data_ptr<uint8_t>(), scales.data_ptr<float>(),
                                    b.defined() ? static_cast<const float*>(b.data_ptr()) : nullptr, w.bits,
                                    group};
  };
  const HeldCall<T> call(x, token, weight, options, w.experts);
  auto p = call.template problem<kernels::QuantisedProblem<T>>({w.experts, w.in, w.hidden, w.out}, offsets,
                                                               ffn_bounds(options, w.gate.defined()));
  p.up = side(w.up, w.up_scales, w.up_bias, w.in_group),
  p.down = side(w.down, w.down_scales, w.down_bias, w.hidden_group);
  if (w.gate.defined()) p.gate = side(w.gate, w.gate_scales, w.gate_bias, w.in_group);
  if (offsets.back() == 0) return at::zeros({p.tokens, p.out}, x.options());
  const auto y = at::empty({p.tokens, p.out}, x.options().dtype(at::kFloat));
  TorchPool pool;
  Workspace memory;
  kernels::quantised_forward<T>(kernels::qgemm_family()(), Types<T>::level(), p,
                                static_cast<float*>(y.data_ptr()), pool, memory);
  return y.to(Types<T>::value);
}

}  // namespace

QuantisedPanels quantised_panels(const QuantisedWeight& w) {
  const auto e = w.codes.size(0), lanes = w.codes.size(1), k = w.codes.size(2);
  const auto size = kernels::quantised_size(e, lanes, k, w.bits, w.group);
  QuantisedPanels out{pooled_empty({size.bytes}, at::kByte), pooled_empty({size.scales}, at::kFloat)};
  TorchPool pool;
  kernels::pack_quantised(w.codes.data_ptr<int8_t>(), w.scales.data_ptr<float>(), e, lanes, k, w.bits,
                          w.group, out.codes.data_ptr<uint8_t>(), out.scales.data_ptr<float>(), pool);
  return out;
}

int64_t quantised_bytes(int64_t experts, int64_t outputs, int64_t inputs, int64_t bits, int64_t group) {
  if (group == 0) group = (inputs + kStep - 1) / kStep * kStep;
  const auto size = kernels::quantised_size(experts, outputs, inputs, bits, group);
  return size.bytes + size.scales * static_cast<int64_t>(sizeof(float));
}

QuantisedWeight quantise(const at::Tensor& given, int64_t bits, int64_t group) {
  GW_CHECK(bits == 4 || bits == 8, "quantise: expected 4 or 8 bits, got {}", bits);
  GW_CHECK(given.defined() && given.dim() == 3 && given.is_floating_point(),
           "quantise: expected weights [E, outputs, inputs] of floating point, got {}",
           given.defined()
               ? fmt::format("{} dimensions of {}", given.dim(), c10::toString(given.scalar_type()))
               : "nothing");
  GW_CHECK(given.numel() > 0,
           "quantise: expected at least one expert, output and input, got [{}]; there is nothing to code",
           fmt::join(given.sizes(), ", "));
  GW_CHECK(group >= 0 && group % kStep == 0,
           "quantise: expected a group of 0 (whole rows) or a multiple of {}, got {}", kStep, group);
  const at::NoGradGuard no_grad;
  const auto w = given.detach().to(at::kFloat).contiguous();
  GW_CHECK(at::isfinite(w).all().item<bool>(), "quantise: expected finite weights, got NaN or infinity");
  const auto k = w.size(2);
  if (group == 0) group = (k + kStep - 1) / kStep * kStep;
  const auto groups = (k + group - 1) / group;
  const auto parts = at::constant_pad_nd(w, std::array<int64_t, 2>{0, groups * group - k})
                         .view({w.size(0), w.size(1), groups, group});
  at::Tensor scale;
  if (bits == 8) {
    scale = parts.abs().amax(3) / 127;
  } else {
    const auto at = std::get<1>(parts.abs().max(3, true));
    scale = parts.gather(3, at).squeeze(3) / -8;
  }
  const auto safe = at::where(scale == 0, at::ones_like(scale), scale).unsqueeze(3);
  const auto codes = (parts / safe).round().clamp(bits == 8 ? -127 : -8, bits == 8 ? 127 : 7).to(at::kChar);
  return {codes.view({w.size(0), w.size(1), groups * group}).narrow(2, 0, k).contiguous(), scale.contiguous(),
          bits, group};
}

at::Tensor dequantise(const QuantisedWeight& w) {
  const auto k = w.codes.size(2);
  return w.codes.to(at::kFloat) * w.scales.repeat_interleave(w.group, 2).narrow(2, 0, k);
}

int64_t QuantisedFfn::bytes() const {
  int64_t total = 0;
  for (const auto& t : {gate, up, down, gate_scales, up_scales, down_scales})
    total += t.defined() ? static_cast<int64_t>(t.nbytes()) : 0;
  return total;
}

QuantisedFfn quantise_ffn(const FfnWeights& w, int64_t bits, int64_t group) {
  check_ffn_weights(w, w.up);
  GW_CHECK(
      !w.activation.defined(),
      "quantise: expected an activation with constant parameters, got learned ones for each expert; name "
      "the values in FfnOptions::activation");
  QuantisedFfn out;
  out.experts = w.up.size(0), out.hidden = w.up.size(1), out.in = w.up.size(2), out.out = w.down.size(1),
  out.bits = bits;
  const auto one = [&](const at::Tensor& weight, at::Tensor& codes, at::Tensor& scales, int64_t& width) {
    const auto q = quantise(weight, bits, group);
    const auto panels = quantised_panels(q);
    codes = panels.codes, scales = panels.scales, width = q.group;
  };
  one(w.up, out.up, out.up_scales, out.in_group), one(w.down, out.down, out.down_scales, out.hidden_group);
  if (w.gate.defined()) one(w.gate, out.gate, out.gate_scales, out.in_group);
  const auto detached = [](const at::Tensor& t) {
    return t.defined() ? t.detach().to(at::kFloat).contiguous() : t;
  };
  out.gate_bias = detached(w.gate_bias), out.up_bias = detached(w.up_bias),
  out.down_bias = detached(w.down_bias);
  return out;
}

QuantisedFfn empty_quantised_ffn(int64_t experts, int64_t in, int64_t hidden, int64_t out, bool glu,
                                 int64_t bits, int64_t group) {
  GW_CHECK(bits == 4 || bits == 8, "quantise: expected 4 or 8 bits, got {}", bits);
  GW_CHECK(group >= 0 && group % kStep == 0,
           "quantise: expected a group of 0 (whole rows) or a multiple of {}, got {}", kStep, group);
  QuantisedFfn q;
  q.experts = experts, q.in = in, q.hidden = hidden, q.out = out, q.bits = bits;
  const auto one = [&](int64_t lanes, int64_t k, at::Tensor& codes, at::Tensor& scales, int64_t& width) {
    width = group > 0 ? group : (k + kStep - 1) / kStep * kStep;
    const auto size = kernels::quantised_size(experts, lanes, k, bits, width);
    codes = at::zeros({size.bytes}, at::kByte), scales = at::zeros({size.scales}, at::kFloat);
  };
  one(hidden, in, q.up, q.up_scales, q.in_group), one(out, hidden, q.down, q.down_scales, q.hidden_group);
  if (glu) one(hidden, in, q.gate, q.gate_scales, q.in_group);
  return q;
}

at::Tensor moe_ffn_quantised(const at::Tensor& x, const at::Tensor& token,
                             const std::vector<int64_t>& offsets, const at::Tensor& weight,
                             const QuantisedFfn& w, const FfnOptions& options) {
  GW_CHECK(x.defined() && x.dim() == 2 && x.device().is_cpu() && x.size(1) == w.in &&
               (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
           "moe_ffn: expected x [T, {}] in f32 or bf16 on the CPU for these quantised weights, got {} "
           "dimensions of {}",
           w.in, x.defined() ? x.dim() : 0, x.defined() ? c10::toString(x.scalar_type()) : "nothing");
  GW_CHECK(
      !x.requires_grad() || !at::GradMode::is_enabled(),
      "moe_ffn: expected a call without gradients for quantised weights; use NoGradGuard or dequantise()");
  check_layer(w);
  check_ffn_rows(x, token, offsets, weight, w.experts);
  ffn_activation(options.activation),
      ffn_bounds(options, w.gate.defined());  // refuse before anything is computed
  return x.scalar_type() == at::kFloat ? run<float>(x, token, offsets, weight, w, options)
                                       : run<kernels::Bf16>(x, token, offsets, weight, w, options);
}

std::string codes_level() {
  const auto& family = kernels::qgemm_family();
  return family.levels()[static_cast<size_t>(family.chosen())].name;
}

}  // namespace gw::ops
