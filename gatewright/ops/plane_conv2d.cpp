#include "gatewright/ops/plane_conv2d.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <array>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/kernels/plane_conv/family.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {
namespace {

using kernels::kPlaneLanes;
using kernels::plane_block;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const kernels::PlaneTable& plane_table() { return kernels::plane_conv_family()(); }

// A group fills 64 vectors with pixels, so that the sums over lanes that end a weight's gradient cost little;
// with 16 channels its planes are 64 KB and stay in the second cache.
constexpr int64_t kGroupPixels = 1024, kMostImages = 64;

/// Where a group of images lies: the planes of a channel one below the other, with one row of zeros above
/// each and below the last, and one column of zeros to the right, which is also the left border of the row
/// after it.
struct PlaneLayout {
  PlaneLayout(int64_t images, int64_t h, int64_t w, int64_t kernel)
      : height(h), width(w), border(kernel / 2), row(width + border) {
    const int64_t fits = std::clamp<int64_t>(kGroupPixels / image(), 1, kMostImages);
    group = std::clamp<int64_t>(images, 1, fits);
    groups = (images + group - 1) / group;
    for (int64_t p = 0; p < pixels(group); p += kPlaneLanes) {
      uint16_t bits = 0;
      for (int64_t b = 0; b < std::min(kPlaneLanes, pixels(group) - p); ++b) {
        const bool inside = (p + b) % row < width && (p + b) / row % (height + border) < height;
        bits = static_cast<uint16_t>(bits | (inside ? 1u : 0u) << b);
      }
      lanes.push_back(bits);
    }
    for (int64_t t = 0; t < kernel * kernel; ++t)
      tap.push_back(static_cast<int32_t>((t / kernel - border) * row + t % kernel - border));
  }
  int64_t image() const { return (height + border) * row; }
  int64_t first() const { return border * (row + 1); }
  int64_t pixels(int64_t images) const { return images * image() - border * row - border; }
  /// Rounded up to whole vectors: the last one may be read to its end.
  int64_t plane() const { return (first() + group * image() + border + kPlaneLanes) / 16 * 16; }
  int64_t floats(int64_t channels) const { return channels * plane() + 2 * kPlaneLanes; }
  /// PlaneImages of group g, and how many the kernel takes: as many as there are, unless fewer would change
  /// how weights are packed.
  int64_t images_of(int64_t g, int64_t images) const { return std::min(group, images - g * group); }
  int64_t pixels_for(int64_t images) const {
    const bool same = plane_block(8, pixels(images)) == plane_block(8, pixels(group));
    return pixels(same ? images : group);
  }

  int64_t height, width, border, row, group = 1, groups = 0;
  std::vector<uint16_t> lanes;
  std::vector<int32_t> tap;
};

/// Blocks of output channels as the kernel reads them. `back`: of the convolution that takes the gradient of
/// the output to that of the input, so channels change places and taps run backwards.
std::vector<float> packed(const at::Tensor& weight, const PlaneLayout& at, bool back) {
  const auto w = weight.contiguous();
  const float* from = w.data_ptr<float>();
  const int64_t outs = w.size(0), ins = w.size(1), taps = w.size(2) * w.size(3);
  const int64_t rows = back ? ins : outs, columns = back ? outs : ins;
  std::vector<float> to;
  to.reserve(static_cast<size_t>(w.numel()));
  for (int64_t o = 0; o < rows;) {
    const int64_t block = plane_block(rows - o, at.pixels(at.group));
    for (int64_t i = 0; i < columns; ++i) {
      for (int64_t t = 0; t < taps; ++t) {
        for (int64_t b = o; b < o + block; ++b)
          to.push_back(back ? from[(i * ins + b) * taps + taps - 1 - t] : from[(b * ins + i) * taps + t]);
      }
    }
    o += block;
  }
  return to;
}

/// Zeroed memory of each worker for `channels` planes.
class PlaneSpace {
 public:
  PlaneSpace(const PlaneLayout& at, int64_t channels, int workers) : floats_(at.floats(channels)) {
    const int64_t bytes = 4 * floats_ * workers;
    memory_ = static_cast<float*>(space_.take(bytes));
    std::fill_n(memory_, floats_ * workers, 0.0f);
  }
  float* of(int worker) const { return memory_ + worker * floats_; }

 private:
  int64_t floats_;
  Workspace space_;
  float* memory_ = nullptr;
};

/// PlaneImages of a contiguous tensor into planes and back.
struct PlaneImages {
  const PlaneLayout& at;
  int64_t channels;

  void in(const float* x, const float* gate, int64_t images, float* planes) const {
    each(images, [&](int64_t outside, int64_t inside) {
      plane_table().copy_rows({x + outside, at.width, gate == nullptr ? nullptr : gate + outside,
                               planes + inside, at.row, at.height, at.width});
    });
  }
  void out(const float* planes, int64_t images, float* x) const {
    each(images, [&](int64_t outside, int64_t inside) {
      plane_table().copy_rows({planes + inside, at.row, nullptr, x + outside, at.width, at.height, at.width});
    });
  }
  int64_t values(int64_t images) const { return images * channels * at.height * at.width; }

 private:
  template <class F>
  void each(int64_t images, const F& f) const {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < images; ++i) {
        f((i * channels + c) * at.height * at.width, c * at.plane() + at.first() + i * at.image());
      }
    }
  }
};

struct Convolver {
  const PlaneLayout& at;
  PlaneImages from, to;
  const float *weight, *bias;
  bool relu;

  void run(const float* planes, int64_t images, float* result) const {
    kernels::PlaneConv c;
    c.in = planes + at.first(), c.in_channels = from.channels, c.in_plane = at.plane();
    c.tap = at.tap.data(), c.taps = static_cast<int64_t>(at.tap.size());
    c.weight = weight, c.bias = bias, c.residual = nullptr;
    c.out = result + at.first(), c.out_plane = at.plane(), c.pixels = at.pixels_for(images);
    c.lanes = at.lanes.data(), c.relu = relu;
    plane_table().convolve(c, 0, to.channels);
  }
};

void weight_sums(const PlaneLayout& at, const float* x, int64_t ins, const float* g, int64_t outs,
                 int64_t images, float* sums) {
  kernels::PlaneGradient call;
  call.in = x + at.first(), call.in_channels = ins, call.in_plane = at.plane();
  call.tap = at.tap.data(), call.taps = static_cast<int64_t>(at.tap.size());
  call.gradient = g + at.first(), call.out_channels = outs, call.out_plane = at.plane();
  call.pixels = at.pixels(images), call.lanes = at.lanes.data(), call.weight = sums;
  plane_table().weight_gradient(call);
}

// A thread costs some microseconds, in which one alone computes this many multiply-adds.
constexpr int64_t kMacsPerThread = 200'000;

TorchPool pool_for(int64_t macs) {
  return TorchPool(static_cast<int>(std::clamp<int64_t>(macs / kMacsPerThread, 1, 1 << 20)));
}

at::Tensor forward_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
  const int64_t images = x.size(0), ins = x.size(1), outs = weight.size(0);
  const PlaneLayout at(images, x.size(2), x.size(3), weight.size(2));
  const auto y = at::empty({images, outs, at.height, at.width}, x.options(), at::MemoryFormat::Contiguous);
  const auto order = packed(weight, at, false);
  const auto shift = bias.defined() ? bias.contiguous() : bias;
  const Convolver conv{
      at, {at, ins}, {at, outs}, order.data(), shift.defined() ? shift.data_ptr<float>() : nullptr, relu};
  TorchPool pool = pool_for(images * at.height * at.width * weight.numel());
  const PlaneSpace from(at, ins, pool.workers()), to(at, outs, pool.workers());
  const float* source = x.data_ptr<float>();
  float* result = y.data_ptr<float>();
  pool.run(at.groups, [&](int64_t g, int worker) {
    const int64_t n = at.images_of(g, images), start = g * at.group;
    conv.from.in(source + conv.from.values(start), nullptr, n, from.of(worker));
    conv.run(from.of(worker), n, to.of(worker));
    conv.to.out(to.of(worker), n, result + conv.to.values(start));
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

at::Tensor added_in_order(const std::vector<float>& sums, const at::Tensor& weight) {
  const auto values = static_cast<size_t>(weight.numel());
  std::vector<double> total(values);
  for (size_t i = 0; i < sums.size(); i += values) {
    for (size_t j = 0; j < values; ++j) total[j] += static_cast<double>(sums[i + j]);
  }
  const auto result = at::empty(weight.sizes(), weight.options(), at::MemoryFormat::Contiguous);
  std::transform(total.begin(), total.end(), result.data_ptr<float>(),
                 [](double v) { return static_cast<float>(v); });
  return result;
}

const float* values_or_null(const at::Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }

PlaneDerivatives backward_of(const PlaneRequest& q) {
  const auto& g = q.gradient;
  const int64_t images = g.size(0), ins = q.weight.size(1), outs = g.size(1);
  const PlaneLayout at(images, g.size(2), g.size(3), q.weight.size(2));
  const PlaneImages inputs{at, ins}, outputs{at, outs};
  PlaneDerivatives made;
  if (q.want_x)
    made.x = at::empty({images, ins, at.height, at.width}, g.options(), at::MemoryFormat::Contiguous);
  const auto order = q.want_x ? packed(q.weight, at, true) : std::vector<float>();
  const Convolver conv{at, outputs, inputs, order.data(), nullptr, false};
  TorchPool pool = pool_for(images * at.height * at.width * q.weight.numel());
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
    weight_sums(at, of_input.of(worker), ins, of_output.of(worker), outs, n,
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
