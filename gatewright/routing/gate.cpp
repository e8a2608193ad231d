#include "gatewright/routing/gate.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "gatewright/base/check.h"

namespace gw::inline routing {
namespace {

/// x in the type that the gate computes in: that of its weights, without any f32, or f64 for an x in f64.
at::Tensor in_precision_of(const Gate& gate, const at::Tensor& x) {
  const auto type = gate.weight_type().value_or(routing_type(x.scalar_type()));
  GW_CHECK(type == at::kFloat || type == at::kDouble,
           "gate: expected weights in f32 or f64, got {}; call gate().to(torch::kFloat)",
           c10::toString(type));
  return x.is_floating_point() ? x.to(type) : x;
}

/// Autocast would compute the scores in bf16.
using NoAutocast = c10::impl::ExcludeDispatchKeyGuard;

}  // namespace

std::optional<at::ScalarType> Gate::weight_type() const {
  // parameters() builds lists of all names, which takes longer than one token's scores.
  for (const auto& item : parameters_)
    if (item.value().is_floating_point()) return item.value().scalar_type();
  auto weights = parameters();
  if (weights.empty()) weights = buffers();
  for (const auto& weight : weights)
    if (weight.is_floating_point()) return weight.scalar_type();
  return std::nullopt;
}

at::ScalarType routing_type(at::ScalarType type) {
  return type == at::kBFloat16 || type == at::kHalf ? at::kFloat : type;
}

at::Tensor Gate::lead_bounds(const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  fail(
      "gate: expected a gate that bounds its scores over a ball, got one without such bounds; take "
      "gates/certified");
}

void Gate::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  Module::to(device, routing_type(dtype), non_blocking);
}
void Gate::to(torch::Dtype dtype, bool non_blocking) { Module::to(routing_type(dtype), non_blocking); }

at::Tensor gate_scores(Gate& gate, const at::Tensor& x, const RouterInputs& inputs) {
  const NoAutocast guard(c10::autocast_dispatch_keyset);
  return gate.score(in_precision_of(gate, x), inputs);
}

at::Tensor gate_ahead(Gate& gate, const at::Tensor& x) {
  const NoAutocast guard(c10::autocast_dispatch_keyset);
  return gate.ahead(in_precision_of(gate, x));
}

void check_tokens(const char* part, const at::Tensor& x, int64_t width) {
  GW_CHECK(x.dim() == 2 && x.size(1) == width,
           "{}: expected tokens [T, {}], got {} dimensions, last of size {}", part, width, x.dim(),
           x.dim() == 0 ? 0 : x.size(-1));
}

}  // namespace gw::inline routing
