// torch.ops.gatewright: schemas and what runs on the CPU. Gradients and autocast are in autograd.cpp, fakes
// in python/gatewright/ops.py.
#include <torch/library.h>

#include "gatewright/ops/experts_ffn.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/top_k.h"
#include "python/csrc/bind.h"

namespace gw::python {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

ops::ExpertStacks stacks(const Tensor& first, const Tensor& down, const Optional& first_bias,
                         const Optional& down_bias, const std::string& layout) {
  return {first, down, first_bias.value_or(Tensor()), down_bias.value_or(Tensor()), layout};
}

std::tuple<Tensor, Tensor> experts_ffn(const Tensor& x, const Tensor& index, const Tensor& weight,
                                       const Tensor& first, const Tensor& down, const Optional& first_bias,
                                       const Optional& down_bias, std::string activation, std::string layout,
                                       double limit, double shift, bool keep, const Optional& token) {
  return guarded([&] {
    const auto out = ops::experts_ffn(x, index, weight, stacks(first, down, first_bias, down_bias, layout),
                                      {activation, false, limit, shift}, keep, {}, token.value_or(Tensor()));
    return std::tuple(out.y, out.kept);
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> experts_ffn_backward(
    const Tensor& dy, const Tensor& x, const Tensor& index, const Tensor& weight, const Tensor& first,
    const Tensor& down, const Optional& first_bias, const Optional& down_bias, std::string activation,
    std::string layout, double limit, double shift, const Tensor& kept, std::array<bool, 6> want,
    const Optional& token) {
  return guarded([&] {
    const auto g =
        ops::experts_ffn_backward(dy, x, index, weight, stacks(first, down, first_bias, down_bias, layout),
                                  {activation, false, limit, shift}, kept, want, token.value_or(Tensor()));
    const auto given = [&](const Tensor& t) { return t.defined() ? t : at::empty({0}, x.options()); };
    return std::tuple(given(g.x), given(g.weight), given(g.first), given(g.down), given(g.first_bias),
                      given(g.down_bias));
  });
}

// Shapes that do not depend on the ids: what has no row is -1, at the end.
std::tuple<Tensor, Tensor, Tensor> route_plan(const Tensor& index, int64_t experts) {
  return guarded([&] {
    const auto rows = ops::route_rows(index, experts);
    const auto padded = [&](const Tensor& ids) {
      auto all = at::full({index.numel()}, -1, at::kLong);
      all.narrow(0, 0, rows.offsets.back()).copy_(ids);
      return all;
    };
    return std::tuple(at::tensor(rows.offsets, at::kLong), padded(rows.token()), padded(rows.slot));
  });
}

// The weights first: torch.library.opcheck adds outputs up, beginning with the first.
std::tuple<Tensor, Tensor> top_k(const Tensor& scores, int64_t k, std::string score, bool renormalise) {
  return guarded([&] {
    const auto out = ops::top_k(scores, k, score, renormalise);
    return std::tuple(out.weight, out.expert);
  });
}

Tensor top_k_backward(const Tensor& dweight, const Tensor& scores, const Tensor& expert, const Tensor& weight,
                      std::string score, bool renormalise) {
  return guarded([&] { return ops::top_k_backward(dweight, scores, expert, weight, score, renormalise); });
}

// In the order of QuantisedFfn; what a layer lacks is empty.
std::vector<Tensor> quantise_experts(const Tensor& first, const Tensor& down, const Optional& first_bias,
                                     const Optional& down_bias, std::string layout, int64_t bits,
                                     int64_t group) {
  return guarded([&] {
    auto w = ops::expert_views(stacks(first, down, first_bias, down_bias, layout));
    const auto q = ops::quantise_ffn(w, bits, group);
    std::vector<Tensor> parts{q.gate,        q.up,        q.down,    q.gate_scales, q.up_scales,
                              q.down_scales, q.gate_bias, q.up_bias, q.down_bias};
    for (auto& part : parts) part = part.defined() ? part : at::empty({0}, at::kFloat);
    return parts;
  });
}

Tensor experts_ffn_quantised(const Tensor& x, const Tensor& index, const Tensor& weight, at::TensorList parts,
                             at::IntArrayRef sizes, std::string activation, double limit, double shift) {
  return guarded([&] {
    if (parts.size() != 9 || sizes.size() != 7)
      throw ValueError(
          "experts_ffn_quantised: expected what quantise_experts gave and [experts, in, hidden, out, bits, "
          "in_group, "
          "hidden_group], got other numbers of them");
    const auto given = [&](size_t i) { return parts[i].numel() > 0 ? parts[i] : Tensor(); };
    const ops::QuantisedFfn q{given(0), given(1), given(2), given(3), given(4), given(5), given(6), given(7),
                              given(8), sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]};
    const auto rows = ops::route_rows(index, q.experts);
    const auto by = weight.reshape(-1).index_select(0, rows.slot).to(at::kFloat);
    return ops::moe_ffn_quantised(x, rows.token(), rows.offsets, by, q, {activation, false, limit, shift})
        .to(x.scalar_type());
  });
}

}  // namespace
}  // namespace gw::python

#define GW_STACKS                                                                                  \
  "Tensor x, Tensor index, Tensor weight, Tensor first, Tensor down, Tensor? first_bias, Tensor? " \
  "down_bias, "                                                                                    \
  "str activation, str layout, float limit, float shift, "

TORCH_LIBRARY(gatewright, m) {
  m.set_python_module("gatewright.ops");
  m.def("experts_ffn(" GW_STACKS "bool keep, Tensor? token=None) -> (Tensor, Tensor)");
  m.def("experts_ffn_backward(Tensor dy, " GW_STACKS
        "Tensor kept, bool[6] want, Tensor? token=None) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "experts_ffn_quantised(Tensor x, Tensor index, Tensor weight, Tensor[] parts, int[] sizes, str "
      "activation, "
      "float limit, float shift) -> Tensor");
  m.def(
      "quantise_experts(Tensor first, Tensor down, Tensor? first_bias, Tensor? down_bias, str layout, int "
      "bits, int group) "
      "-> Tensor[]");
  m.def("route_plan(Tensor index, int experts) -> (Tensor, Tensor, Tensor)");
  m.def("top_k(Tensor scores, int k, str score, bool renormalise) -> (Tensor, Tensor)");
  m.def(
      "top_k_backward(Tensor dweight, Tensor scores, Tensor expert, Tensor weight, str score, bool "
      "renormalise) -> Tensor");
}

TORCH_LIBRARY_IMPL(gatewright, CPU, m) {
  m.impl("experts_ffn", gw::python::experts_ffn);
  m.impl("experts_ffn_backward", gw::python::experts_ffn_backward);
  m.impl("experts_ffn_quantised", gw::python::experts_ffn_quantised);
  m.impl("quantise_experts", gw::python::quantise_experts);
  m.impl("route_plan", gw::python::route_plan);
  m.impl("top_k", gw::python::top_k);
  m.impl("top_k_backward", gw::python::top_k_backward);
}
