// Gradients of torch.ops.gatewright, each a call of an op of its own so that compilers see it, and autocast.
// In C++ rather than by torch.library.register_autograd: 4 µs of a call instead of 30.
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "python/csrc/bind.h"

namespace gw::python {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Six = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;
using Forward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                           const Tensor&, const Optional&, const Optional&, std::string,
                                           std::string, double, double, bool, const Optional&);
using Backward = Six(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                     const Optional&, const Optional&, std::string, std::string, double, double,
                     const Tensor&, std::array<bool, 6>, const Optional&);

template <class Signature>
auto found(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}
const auto& forward_op() {
  static const auto op = found<Forward>("gatewright::experts_ffn");
  return op;
}
const auto& backward_op() {
  static const auto op = found<Backward>("gatewright::experts_ffn_backward");
  return op;
}

Optional given(const Tensor& t) { return t.defined() ? Optional(t) : std::nullopt; }

class ExpertsFfn : public torch::autograd::Function<ExpertsFfn> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& index,
                               const Tensor& weight, const Tensor& first, const Tensor& down,
                               const Optional& first_bias, const Optional& down_bias,
                               const std::string& activation, const std::string& layout, double limit,
                               double shift, bool keep, const Optional& token) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [y, kept] = forward_op().call(x, index, weight, first, down, first_bias, down_bias, activation,
                                       layout, limit, shift, keep, token);
    ctx->save_for_backward({x, index, weight, first, down, first_bias.value_or(Tensor()),
                            down_bias.value_or(Tensor()), kept, token.value_or(Tensor())});
    ctx->saved_data["activation"] = activation, ctx->saved_data["layout"] = layout;
    ctx->saved_data["limit"] = limit, ctx->saved_data["shift"] = shift;
    ctx->mark_non_differentiable({kept});
    return {y, kept};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    const auto s = ctx->get_saved_variables();
    // Edges: the tensors of forward in order, absent biases left out.
    const bool first_bias = s[5].defined(), down_bias = s[6].defined();
    const std::array<bool, 6> want{ctx->needs_input_grad(0),
                                   ctx->needs_input_grad(2),
                                   ctx->needs_input_grad(3),
                                   ctx->needs_input_grad(4),
                                   first_bias && ctx->needs_input_grad(5),
                                   down_bias && ctx->needs_input_grad(first_bias ? 6 : 5)};
    auto& data = ctx->saved_data;
    const auto [dx, dweight, dfirst, ddown, dfirst_bias, ddown_bias] =
        backward_op().call(gradient[0], s[0], s[1], s[2], s[3], s[4], given(s[5]), given(s[6]),
                           data["activation"].toStringRef(), data["layout"].toStringRef(),
                           data["limit"].toDouble(), data["shift"].toDouble(), s[7], want, given(s[8]));
    const auto asked = [&](size_t i, const Tensor& t) { return want[i] ? t : Tensor(); };
    return {asked(0, dx),
            {},
            asked(1, dweight),
            asked(2, dfirst),
            asked(3, ddown),
            asked(4, dfirst_bias),
            asked(5, ddown_bias),
            {},
            {},
            {},
            {},
            {},
            {}};
  }
};

// Whether a backward pass may come. Forward mode would pass our ops by without a word: it is refused.
bool recorded(const char* op, std::initializer_list<const Tensor*> tensors, const Optional& a,
              const Optional& b) {
  for (const auto* t : tensors) {
    if (t->_fw_grad(0).defined())
      guarded([&] {
        throw ValueError(std::string(op) +
                         ": expected reverse mode, got forward-mode derivatives (jvp); it has none");
      });
  }
  if (!at::GradMode::is_enabled()) return false;
  for (const auto* t : tensors) {
    if (t->requires_grad()) return true;
  }
  return (a && a->requires_grad()) || (b && b->requires_grad());
}

std::tuple<Tensor, Tensor> experts_ffn(const Tensor& x, const Tensor& index, const Tensor& weight,
                                       const Tensor& first, const Tensor& down, const Optional& first_bias,
                                       const Optional& down_bias, std::string activation, std::string layout,
                                       double limit, double shift, bool keep, const Optional& token) {
  if (!recorded("experts_ffn", {&x, &weight, &first, &down}, first_bias, down_bias)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return forward_op().call(x, index, weight, first, down, first_bias, down_bias, activation, layout, limit,
                             shift, keep, token);
  }
  const auto out = ExpertsFfn::apply(x, index, weight, first, down, first_bias, down_bias, activation, layout,
                                     limit, shift, keep, token);
  return {out[0], out[1]};
}

// What a second derivative would need is refused when it is asked for, not when a graph is merely kept.
class ExpertsFfnBackward : public torch::autograd::Function<ExpertsFfnBackward> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& dy, const Tensor& x, const Tensor& index,
                               const Tensor& weight, const Tensor& first, const Tensor& down,
                               const Optional& first_bias, const Optional& down_bias,
                               const std::string& activation, const std::string& layout, double limit,
                               double shift, const Tensor& kept, std::array<bool, 6> want,
                               const Optional& token) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto [a, b, c, d, e, f] =
        backward_op().call(dy, x, index, weight, first, down, first_bias, down_bias, activation, layout,
                           limit, shift, kept, want, token);
    return {a, b, c, d, e, f};
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    return guarded([]() -> variable_list {
      throw ValueError(
          "experts_ffn: expected a first-order backward pass, got second derivatives; it has none");
    });
  }
};

Six experts_ffn_backward(const Tensor& dy, const Tensor& x, const Tensor& index, const Tensor& weight,
                         const Tensor& first, const Tensor& down, const Optional& first_bias,
                         const Optional& down_bias, std::string activation, std::string layout, double limit,
                         double shift, const Tensor& kept, std::array<bool, 6> want, const Optional& token) {
  if (!recorded("experts_ffn", {&dy, &x, &weight, &first, &down}, first_bias, down_bias)) {
    at::AutoDispatchBelowADInplaceOrView below;
    return backward_op().call(dy, x, index, weight, first, down, first_bias, down_bias, activation, layout,
                              limit, shift, kept, want, token);
  }
  const auto g = ExpertsFfnBackward::apply(dy, x, index, weight, first, down, first_bias, down_bias,
                                           activation, layout, limit, shift, kept, want, token);
  return {g[0], g[1], g[2], g[3], g[4], g[5]};
}

using TopK = std::tuple<Tensor, Tensor>(const Tensor&, int64_t, std::string, bool);
using TopKBackward = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, std::string, bool);

class TopKFunction : public torch::autograd::Function<TopKFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const Tensor& scores, int64_t k,
                               const std::string& score, bool renormalise) {
    static const auto op = found<TopK>("gatewright::top_k");
    at::AutoDispatchBelowADInplaceOrView below;
    auto [weight, expert] = op.call(scores, k, score, renormalise);
    ctx->save_for_backward({scores, expert, weight});
    ctx->saved_data["score"] = score, ctx->saved_data["renormalise"] = renormalise;
    ctx->mark_non_differentiable({expert});
    return {weight, expert};
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    static const auto op = found<TopKBackward>("gatewright::top_k_backward");
    const auto s = ctx->get_saved_variables();
    return {op.call(gradient[0], s[0], s[1], s[2], ctx->saved_data["score"].toStringRef(),
                    ctx->saved_data["renormalise"].toBool()),
            {},
            {},
            {}};
  }
};

std::tuple<Tensor, Tensor> top_k(const Tensor& scores, int64_t k, std::string score, bool renormalise) {
  recorded("top_k", {&scores}, {}, {});
  const auto out = TopKFunction::apply(scores, k, score, renormalise);
  return {out[0], out[1]};
}

// As torch's own products under autocast: rows and weights in the lower precision, weights cast once per
// pass. Routing weights stay.
std::tuple<Tensor, Tensor> experts_ffn_autocast(const Tensor& x, const Tensor& index, const Tensor& weight,
                                                const Tensor& first, const Tensor& down,
                                                const Optional& first_bias, const Optional& down_bias,
                                                std::string activation, std::string layout, double limit,
                                                double shift, bool keep, const Optional& token) {
  c10::impl::ExcludeDispatchKeyGuard without(c10::DispatchKeySet(c10::DispatchKey::AutocastCPU));
  const auto type = at::autocast::get_autocast_dtype(at::kCPU);
  if (type != at::kBFloat16)
    return forward_op().call(x, index, weight, first, down, first_bias, down_bias, activation, layout, limit,
                             shift, keep, token);
  const auto cast = [&](const Tensor& t) { return at::autocast::cached_cast(type, t, c10::DeviceType::CPU); };
  const auto cast_given = [&](const Optional& t) { return t ? Optional(cast(*t)) : t; };
  return forward_op().call(cast(x), index, weight, cast(first), cast(down), cast_given(first_bias),
                           cast_given(down_bias), activation, layout, limit, shift, keep, token);
}

}  // namespace
}  // namespace gw::python

TORCH_LIBRARY_IMPL(gatewright, Autograd, m) {
  m.impl("experts_ffn", gw::python::experts_ffn);
  m.impl("experts_ffn_backward", gw::python::experts_ffn_backward);
  m.impl("top_k", gw::python::top_k);
}

TORCH_LIBRARY_IMPL(gatewright, AutocastCPU, m) { m.impl("experts_ffn", gw::python::experts_ffn_autocast); }
