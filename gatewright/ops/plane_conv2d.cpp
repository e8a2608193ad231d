#include "gatewright/ops/plane_conv2d.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <array>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/plane_layout.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor forward_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
  const int64_t images = x.size(0), ins = x.size(1), outs = weight.size(0);
  const PlaneLayout at(images, x.size(2), x.size(3), weight.size(2));
  const auto y = at::empty({images, outs, at.height, at.width}, x.options(), at::MemoryFormat::Contiguous);
  const auto order = packed_kernels(weight, 1, at.pixels(at.group));
  const auto shift = bias.defined() ? bias.contiguous() : bias;
  const PlaneImages inputs{at, ins}, outputs{at, outs};
  const PlaneConvolver conv{at,  ins, outs, order.data(), shift.defined() ? shift.data_ptr<float>() : nullptr,
                            relu};
  TorchPool pool = plane_pool(images * at.height * at.width * weight.numel());
  const PlaneSpace from(at, ins, pool.workers()), to(at, outs, pool.workers());
  const float* source = x.data_ptr<float>();
  float* result = y.data_ptr<float>();
  pool.run(at.groups, [&](int64_t g, int worker) {
    const int64_t n = at.images_of(g, images), start = g * at.group;
    inputs.in(source + inputs.values(start), nullptr, n, from.of(worker));
    conv.run(from.of(worker), n, to.of(worker));
    outputs.out(to.of(worker), n, result + outputs.values(start));
  });
  return y;
}

/// What a backward pass has at hand; undefined: x where the weight wants no gradient, y without a ReLU.
struct PlaneRequest {
  at::Tensor gradient, weight, x, y;
  bool want_x = false;
};

struct PlaneDerivatives {
  at::Tensor x, weight;
};

const float* values_or_null(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }

PlaneDerivatives backward_of(const PlaneRequest& q) {
  const auto& g = q.gradient;
  const int64_t images = g.size(0), ins = q.weight.size(1), outs = g.size(1);
  const PlaneLayout at(images, g.size(2), g.size(3), q.weight.size(2));
  const PlaneImages inputs{at, ins}, outputs{at, outs};
  PlaneDerivatives made;
  if (q.want_x)
    made.x = at::empty({images, ins, at.height, at.width}, g.options(), at::MemoryFormat::Contiguous);
  const auto order =
      q.want_x ? packed_kernels(q.weight, 1, at.pixels(at.group), /*back=*/true) : std::vector<float>();
  const PlaneConvolver conv{at, outs, ins, order.data(), nullptr, false};
  TorchPool pool = plane_pool(images * at.height * at.width * q.weight.numel());
  const PlaneSpace of_output(at, outs, pool.workers()), of_input(at, ins, pool.workers()),
      made_planes(at, q.want_x ? ins : 0, pool.workers());
  const size_t values = q.x.defined() ? static_cast<size_t>(q.weight.numel()) : 0;
  std::vector<float> sums(static_cast<size_t>(at.groups) * values);
  const float *gradient = g.data_ptr<float>(), *gate = values_or_null(q.y), *x = values_or_null(q.x);
  float* dx = q.want_x ? made.x.data_ptr<float>() : nullptr;
  pool.run(at.groups, [&](int64_t k, int worker) {
    const int64_t n = at.images_of(k, images), start = k * at.group, first = outputs.values(start);
    outputs.in(gradient + first, gate == nullptr ? nullptr : gate + first, n, of_output.of(worker));
    if (dx != nullptr) {
      conv.run(of_output.of(worker), n, made_planes.of(worker));
      inputs.out(made_planes.of(worker), n, dx + inputs.values(start));
    }
    if (!q.x.defined()) return;
    inputs.in(x + inputs.values(start), nullptr, n, of_input.of(worker));
    plane_weight_sums(at, of_input.of(worker), ins, of_output.of(worker), outs, n,
                      sums.data() + static_cast<size_t>(k) * values);
  });
  if (q.x.defined()) made.weight = added_in_order(sums, q.weight);
  return made;
}

/// In one piece, as autograd would take the bias for an input, and an input must be defined.
struct PlaneEpilogue {
  at::Tensor bias;
  bool relu;
};

class PlaneConvolution : public torch::autograd::Function<PlaneConvolution> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const PlaneEpilogue& end) {
    const auto dense = x.contiguous();
    const auto y = forward_of(dense, weight, end.bias, end.relu);
    ctx->save_for_backward(
        {weight, weight.requires_grad() ? dense : at::Tensor(), end.relu ? y : at::Tensor()});
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("plane_conv2d");
    if (!gradient[0].defined()) return {{}, {}, {}};
    const auto saved = ctx->get_saved_variables();
    PlaneRequest q{gradient[0].contiguous(), saved[0], {}, saved[2], ctx->needs_input_grad(0)};
    if (ctx->needs_input_grad(1)) q.x = saved[1];
    const auto made = backward_of(q);
    return {made.x, made.weight, {}};
  }
};

bool fits(const at::Tensor& x, const at::Tensor& weight) {
  return x.dim() == 4 && weight.dim() == 4 && x.scalar_type() == at::kFloat && x.device().is_cpu() &&
         weight.scalar_type() == at::kFloat && weight.device().is_cpu() && x.size(1) == weight.size(1) &&
         weight.size(2) == weight.size(3) && (weight.size(2) == 1 || weight.size(2) == 3);
}

}  // namespace

at::Tensor plane_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
  GW_CHECK(
      x.defined() && weight.defined() && fits(x, weight),
      "plane_conv2d: expected x [B, C, H, W] and weight [O, C, k, k] with k = 1 or 3, f32 on the CPU, got {} "
      "and {} dimensions in {} and {}",
      x.defined() ? x.dim() : 0, weight.defined() ? weight.dim() : 0,
      x.defined() ? c10::toString(x.scalar_type()) : "nothing",
      weight.defined() ? c10::toString(weight.scalar_type()) : "nothing");
  GW_CHECK(
      !bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0) &&
                          bias.scalar_type() == at::kFloat && !bias.requires_grad()),
      "plane_conv2d: expected a bias of {} f32 values that wants no gradient, got another; add it outside",
      weight.size(0));
  const bool recorded =
      torch::autograd::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  if (!recorded) return forward_of(x.contiguous(), weight, bias, relu);
  return PlaneConvolution::apply(x, weight, PlaneEpilogue{bias, relu});
}

// Measured beside oneDNN, which fills vectors with channels (bench_plane_conv, one thread, batch 128, maps of
// 28x28 to 3x3): up to 6 -> 12, 8 -> 8 and 1 -> 16 channels planes take 0.1 to 0.95 of its time, least where
// one image channel wants a gradient. 12 -> 12 takes 0.8 to 1.1 of it, 16 -> 16 1.0 to 1.5, and of 3 or 4 ->
// 16 the forward pass up to 1.1: 16 outputs fill oneDNN's vectors. The machine was loaded
// (docs/decisions/019).
bool plane_conv2d_pays(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  constexpr int64_t kMostIn = 16, kMostOut = 12, kMostOutOfOne = 16, kMostPairs = 72, kMostPixels = 4096;
  if (!fits(x, weight) || stride != 1 || padding != 1 || weight.size(2) != 3 || x.numel() == 0) return false;
  const int64_t in = x.size(1), out = weight.size(0), most_out = in == 1 ? kMostOutOfOne : kMostOut;
  return in <= kMostIn && out <= most_out && in * out <= kMostPairs && x.size(2) * x.size(3) <= kMostPixels;
}

}  // namespace gw::ops
