#include "gatewright/ops/merged_conv.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <array>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/first_order.h"
#include "gatewright/ops/merged_kernels.h"
#include "gatewright/ops/plane_layout.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kChunk =
    16;  // images of one task; what they add to the weight's gradient is summed in order

struct MergedEnd {
  at::Tensor bias;
  bool relu;
};

/// Sizes of one expert's kernels.
struct ExpertKernels {
  ExpertKernels(const at::Tensor& weight, int64_t experts)
      : outs(weight.size(0) / experts), ins(weight.size(1)), values(weight.numel() / experts) {}
  int64_t outs, ins, values;
};

/// Calls body(image, chunk, worker), the images of a chunk in order.
template <class Body>
void each_image(TorchPool& pool, int64_t images, const Body& body) {
  pool.run((images + kChunk - 1) / kChunk, [&](int64_t chunk, int worker) {
    const int64_t last = std::min(images, (chunk + 1) * kChunk);
    for (int64_t i = chunk * kChunk; i < last; ++i) body(i, chunk, worker);
  });
}

at::Tensor merged_forward(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& weight,
                          const MergedEnd& end) {
  const int64_t images = x.size(0), experts = mixing.size(1), ins = x.size(1);
  const ExpertKernels one(weight, experts);
  const PlaneLayout at(images, x.size(2), x.size(3), weight.size(2), 1);
  const auto y =
      at::empty({images, one.outs, at.height, at.width}, x.options(), at::MemoryFormat::Contiguous);
  const auto experts_packed = packed_kernels(weight, experts, at.pixels(at.group));
  const auto shift = end.bias.defined() ? end.bias.contiguous() : end.bias;
  TorchPool pool = plane_pool(images * at.height * at.width * one.values);
  const PlaneSpace from(at, ins, pool.workers()), to(at, one.outs, pool.workers());
  std::vector<float> kernels(static_cast<size_t>(one.values * pool.workers()));
  const PlaneImages inputs{at, ins}, outputs{at, one.outs};
  const float *source = x.data_ptr<float>(), *share = mixing.data_ptr<float>();
  float* result = y.data_ptr<float>();
  each_image(pool, images, [&](int64_t i, int64_t, int worker) {
    float* kernel = kernels.data() + worker * one.values;
    plane_table().merge({share + i * experts, 0, 1, experts, experts_packed.data(), one.values, kernel, 0});
    inputs.in(source + inputs.values(i), nullptr, 1, from.of(worker));
    const PlaneConvolver conv{
        at, ins, one.outs, kernel, shift.defined() ? shift.data_ptr<float>() : nullptr, end.relu};
    conv.run(from.of(worker), 1, to.of(worker));
    outputs.out(to.of(worker), 1, result + outputs.values(i));
  });
  return y;
}

/// What a backward pass has at hand; y: undefined without a ReLU.
struct MergedRequest {
  at::Tensor gradient, x, mixing, weight, y;
  bool want_x = false, want_mixing = false, want_weight = false;
  bool want_kernels() const { return want_mixing || want_weight; }
};

struct MergedDerivatives {
  at::Tensor x, mixing, weight;
};

class MergedBackward {
 public:
  explicit MergedBackward(const MergedRequest& q)
      : q_(q),
        images_(q.gradient.size(0)),
        experts_(q.mixing.size(1)),
        one_(q.weight, experts_),
        at_(images_, q.gradient.size(2), q.gradient.size(3), q.weight.size(2), 1),
        inputs_{at_, one_.ins},
        outputs_{at_, one_.outs},
        pool_(plane_pool(images_ * at_.height * at_.width * one_.values)),
        of_output_(at_, one_.outs, pool_.workers()),
        of_input_(at_, one_.ins, pool_.workers()),
        kernels_(static_cast<size_t>(one_.values * pool_.workers())) {}

  MergedDerivatives run() {
    if (q_.want_x) {
      made_.x = at::empty({images_, one_.ins, at_.height, at_.width}, q_.gradient.options(),
                          at::MemoryFormat::Contiguous);
      back_ = packed_kernels(q_.weight, experts_, at_.pixels(at_.group), /*back=*/true);
    }
    if (q_.want_mixing) made_.mixing = at::empty({images_, experts_}, q_.mixing.options());
    const int64_t chunks = (images_ + kChunk - 1) / kChunk;
    if (q_.want_weight) sums_.resize(static_cast<size_t>(chunks * q_.weight.numel()));
    each_image(pool_, images_, [&](int64_t i, int64_t chunk, int worker) { image(i, chunk, worker); });
    if (q_.want_weight) made_.weight = added_in_order(sums_, q_.weight);
    return made_;
  }

 private:
  void image(int64_t i, int64_t chunk, int worker) {
    const float* share = q_.mixing.data_ptr<float>() + i * experts_;
    const float* gate = q_.y.defined() ? q_.y.data_ptr<float>() + outputs_.values(i) : nullptr;
    float* kernel = kernels_.data() + worker * one_.values;
    outputs_.in(q_.gradient.data_ptr<float>() + outputs_.values(i), gate, 1, of_output_.of(worker));
    if (q_.want_x) {
      plane_table().merge({share, 0, 1, experts_, back_.data(), one_.values, kernel, 0});
      const PlaneConvolver conv{at_, one_.outs, one_.ins, kernel, nullptr, false};
      conv.run(of_output_.of(worker), 1, of_input_.of(worker));
      inputs_.out(of_input_.of(worker), 1, made_.x.data_ptr<float>() + inputs_.values(i));
    }
    if (!q_.want_kernels()) return;
    inputs_.in(q_.x.data_ptr<float>() + inputs_.values(i), nullptr, 1, of_input_.of(worker));
    plane_weight_sums(at_, of_input_.of(worker), one_.ins, of_output_.of(worker), one_.outs, 1, kernel);
    if (q_.want_mixing)
      kernel_shares(q_.weight.data_ptr<float>(), kernel, experts_, one_.values,
                    made_.mixing.data_ptr<float>() + i * experts_);
    if (q_.want_weight)
      spread_kernel(kernel, share, experts_, one_.values, sums_.data() + chunk * q_.weight.numel());
  }

  const MergedRequest& q_;
  int64_t images_, experts_;
  ExpertKernels one_;
  PlaneLayout at_;
  PlaneImages inputs_, outputs_;
  TorchPool pool_;
  PlaneSpace of_output_, of_input_;
  std::vector<float> kernels_, back_, sums_;
  MergedDerivatives made_;
};

class MergedConvolution : public torch::autograd::Function<MergedConvolution> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& mixing,
                            const at::Tensor& weight, const MergedEnd& end) {
    const auto y = merged_forward(x, mixing, weight, end);
    ctx->save_for_backward({x, mixing, weight, end.relu ? y : at::Tensor()});
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("merged_conv2d");
    if (!gradient[0].defined()) return {{}, {}, {}, {}};
    const auto saved = ctx->get_saved_variables();
    MergedRequest q{gradient[0].contiguous(),
                    saved[0],
                    saved[1],
                    saved[2],
                    saved[3],
                    ctx->needs_input_grad(0),
                    ctx->needs_input_grad(1),
                    ctx->needs_input_grad(2)};
    auto made = MergedBackward(q).run();
    return {made.x, made.mixing, made.weight, {}};
  }
};

at::Tensor on_planes(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& weight,
                     const MergedEnd& end) {
  const auto images = x.contiguous(), shares = mixing.contiguous(), kernels = weight.contiguous();
  const bool recorded = torch::autograd::GradMode::is_enabled() &&
                        (x.requires_grad() || mixing.requires_grad() || weight.requires_grad());
  if (!recorded) return merged_forward(images, shares, kernels, end);
  return MergedConvolution::apply(images, shares, kernels, end);
}

/// libtorch's convolution in B groups, one for each image.
at::Tensor in_groups(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& weight, ConvShape shape,
                     const MergedEnd& end) {
  const int64_t images = x.size(0), experts = mixing.size(1), outs = weight.size(0) / experts,
                ins = weight.size(1), k = weight.size(2);
  const auto kernels = mixing.matmul(weight.reshape({experts, -1})).view({images * outs, ins, k, k});
  const auto maps = x.contiguous().view({1, images * ins, x.size(2), x.size(3)});
  auto y = at::conv2d(maps, kernels, {}, {shape.stride, shape.stride}, {shape.padding, shape.padding}, {1, 1},
                      images);
  y = y.view({images, outs, y.size(2), y.size(3)});
  if (end.bias.defined()) y = y + end.bias.view({1, -1, 1, 1});
  return end.relu ? at::relu(y) : y;
}

void check_merged(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& weight,
                  const at::Tensor& bias) {
  const bool fits = x.dim() == 4 && mixing.dim() == 2 && weight.dim() == 4 && mixing.size(0) == x.size(0) &&
                    mixing.size(1) > 0 && weight.size(0) % mixing.size(1) == 0 &&
                    weight.size(1) == x.size(1) && weight.size(2) == weight.size(3);
  GW_CHECK(
      fits,
      "merged_conv2d: expected x [B, C, H, W], mixing [B, E] and weight [E·w, C, k, k], got {}, {} and {}",
      c10::str(x.sizes()), c10::str(mixing.sizes()), c10::str(weight.sizes()));
  GW_CHECK(x.scalar_type() == mixing.scalar_type() && x.scalar_type() == weight.scalar_type(),
           "merged_conv2d: expected one type, got {}, {} and {}", c10::toString(x.scalar_type()),
           c10::toString(mixing.scalar_type()), c10::toString(weight.scalar_type()));
  GW_CHECK(!bias.defined() ||
               (bias.dim() == 1 && bias.size(0) == weight.size(0) / mixing.size(1) && !bias.requires_grad()),
           "merged_conv2d: expected a bias of {} values that wants no gradient, got another; add it outside",
           weight.size(0) / mixing.size(1));
}

}  // namespace

at::Tensor merged_conv2d(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& weight,
                         ConvShape shape, const at::Tensor& bias, bool relu) {
  check_merged(x, mixing, weight, bias);
  const int64_t k = weight.size(2), experts = mixing.size(1);
  const auto out = [&](int64_t d) { return (x.size(d) + 2 * shape.padding - k) / shape.stride + 1; };
  CostRecorder::add(x.size(0) * (out(2) * out(3) * (weight.numel() / experts) + weight.numel()));
  // No images: whatever the kernels, there are maps of the right size to give.
  if (x.size(0) == 0) return conv2d(x, weight.narrow(0, 0, weight.size(0) / experts), bias, shape, relu);
  const bool planes = x.scalar_type() == at::kFloat && x.device().is_cpu() && shape.stride == 1 &&
                      (k == 1 || k == 3) && shape.padding == k / 2;
  return planes ? on_planes(x, mixing, weight, {bias, relu})
                : in_groups(x, mixing, weight, shape, {bias, relu});
}

}  // namespace gw::ops
