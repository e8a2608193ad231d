#include "gatewright/ops/moe_ffn_call.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/activation_function.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

template <class T>
at::Tensor pack(const at::Tensor& weight) {
  if (!weight.defined()) return {};
  const auto dense = weight.detach().contiguous();
  const auto& gemm = *Types<T>::level().gemm;
  const auto size = kernels::packed_size(gemm, dense.size(0), dense.size(1), dense.size(2));
  auto packed = pooled_empty(
      {size},
      dense.options());  // huge pages: read once per token, weights in 4 kB pages cost 5 % of the read rate
  TorchPool pool;
  if (size > 0) {
    kernels::pack_weights(gemm, static_cast<const T*>(dense.data_ptr()), dense.size(0), dense.size(1),
                          dense.size(2), static_cast<T*>(packed.data_ptr()), pool);
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

FfnActivation ffn_activation(const std::string& text) {
  using kernels::Activation;
  static const std::vector<std::pair<const char*, Activation>> fast{
      {"identity", Activation::identity},
      {"relu", Activation::relu},
      {"relu_squared", Activation::relu_squared},
      {"sigmoid", Activation::sigmoid},
      {"tanh", Activation::tanh},
      {"silu", Activation::silu},
      {"quick_gelu", Activation::quick_gelu},
      {"gelu", Activation::gelu},
      {"gelu_tanh", Activation::gelu_tanh}};
  const auto known = [&](const std::string& asked) {
    return std::find_if(fast.begin(), fast.end(), [&](const auto& one) { return asked == one.first; });
  };
  // Plain names first: the catalogue takes a microsecond, as long as a small call.
  if (const auto it = known(text); it != fast.end()) return {it->second, -1, {}, false};
  const ActivationFunction f("moe_ffn", text);
  if (const auto it = known(f.name()); it != fast.end()) return {it->second, -1, {}, false};
  return {Activation::identity, f.unit(), f.parameters(), f.learned()};
}

void check_ffn_activation(const FfnActivation& f, const std::string& text, const FfnWeights& w) {
  if (!w.activation.defined()) return;
  const auto count = static_cast<int64_t>(f.parameters.size());
  GW_CHECK(f.learned, "moe_ffn: expected no learned parameters with activation {}, got some", text);
  const std::array<int64_t, 2> shape{w.up.size(0), count};
  check_tensor("activation", w.activation, shape, w.up);
}

kernels::GluBounds ffn_bounds(const FfnOptions& options, bool glu) {
  const double limit = options.limit, shift = options.up_shift;
  GW_CHECK(std::isfinite(limit) && limit >= 0 && std::isfinite(shift),
           "moe_ffn: expected a limit >= 0 and a shift that are finite, got {} and {}", limit, shift);
  GW_CHECK(glu || (limit == 0 && shift == 0),
           "moe_ffn: expected a gate with limit or up_shift, got none; they hold the factors of a GLU");
  return {limit > 0 || shift != 0, limit > 0 ? limit : HUGE_VAL, shift};
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

}  // namespace

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

}  // namespace gw::ops
