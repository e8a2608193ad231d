#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/kernels/plane_conv/family.h"
#include "gatewright/ops/plane_layout.h"
#include "gatewright/ops/plane_steps.h"

namespace gw::ops {
namespace {

using kernels::kPlaneLanes;
using kernels::PlaneConv;

class ConvolutionStep : public PlaneStep {
 public:
  ConvolutionStep(const Step& s, const PlaneOperands& o)
      : x_(o.x),
        out_(o.out),
        other_(o.other),
        scratch_(o.scratch),
        kernel_(s.weight.size(2)),
        stride_(s.stride),
        residual_(s.other.defined()),
        relu_(s.relu),
        pixels_((out_.height - 1) * out_.row() + out_.width),
        experts_(plane_experts(s)),
        mixing_(o.mixing.at),
        merged_(o.scratch + plane_phases(s, o.x)),
        weight_(packed_kernels(s.weight, experts_, pixels_)),
        bias_(values_of(s.bias)) {
    for (int64_t p = 0; p < pixels_; p += kPlaneLanes) {
      uint16_t bits = 0;
      for (int64_t b = 0; b < std::min(kPlaneLanes, pixels_ - p); ++b)
        bits |= static_cast<uint16_t>(((p + b) % out_.row() < out_.width ? 1u : 0u) << b);
      lanes_.push_back(bits);
    }
    for (int64_t t = 0; t < kernel_ * kernel_; ++t)
      tap_.push_back(static_cast<int32_t>(offset(t / kernel_, t % kernel_)));
    // 128 KiB of weights stay in the second cache while all images of the group pass by.
    const int64_t bytes = 4 * x_.channels * kernel_ * kernel_;
    chunk_ = std::max<int64_t>(1, (int64_t{128} << 10) / bytes / 8) * 8;
  }

  void run(const PlaneFrame& frame) const override {
    if (experts_ > 1) {
      kernels::plane_conv_family()().merge({frame.at(0, mixing_), frame.image_floats, frame.images, experts_,
                                            weight_.data(), static_cast<int64_t>(weight_.size()) / experts_,
                                            frame.at(0, merged_), frame.image_floats});
    }
    for (int64_t i = 0; stride_ == 2 && i < frame.images; ++i) split(frame, i);
    const int64_t channels = frame.pool == nullptr ? chunk_ : std::min<int64_t>(chunk_, 8);
    const int64_t chunks = (out_.channels + channels - 1) / channels;
    const auto work = [&](int64_t chunk, int) {
      const int64_t first = chunk * channels, last = std::min(out_.channels, first + channels);
      for (int64_t i = 0; i < frame.images; ++i)
        kernels::plane_conv_family()().convolve(call(frame, i), first, last);
    };
    if (frame.pool != nullptr && frame.pool->workers() > 1) return frame.pool->run(chunks, work);
    for (int64_t c = 0; c < chunks; ++c) work(c, 0);
  }

 private:
  /// A tap in the input as the kernel reads it: of padded planes, or of their four phases (even and odd rows
  /// and columns), in which a convolution of stride 2 is one of stride 1.
  int64_t offset(int64_t dy, int64_t dx) const {
    if (kernel_ == 1) return stride_ == 1 ? x_.inside() : 0;
    if (stride_ == 1) return dy * x_.row() + dx;
    return (dy % 2 * 2 + dx % 2) * phase() + dy / 2 * out_.row() + dx / 2;
  }
  int64_t phase() const { return (out_.height + 1) * out_.row(); }
  int64_t phases() const { return kernel_ == 1 ? 1 : 4; }

  void split(const PlaneFrame& frame, int64_t image) const {
    const auto split2 = kernels::plane_conv_family()().split2;
    float* unused = frame.at(image, scratch_ + x_.channels * phases() * phase());
    const int64_t first = kernel_ == 1 ? 1 : 0, columns = out_.width + 1;
    for (int64_t c = 0; c < x_.channels; ++c) {
      const float* plane = frame.at(image, x_.at + c * x_.plane());
      float* to = frame.at(image, scratch_ + c * phases() * phase());
      for (int64_t r = first; r < 2; ++r) {
        const int64_t rows = std::min((x_.height + 3 - r) / 2, out_.height + 1);
        for (int64_t i = 0; i < rows; ++i) {
          float* odd = to + (kernel_ == 1 ? 0 : (2 * r + 1) * phase()) + i * out_.row();
          float* even = kernel_ == 1 ? unused : to + 2 * r * phase() + i * out_.row();
          split2(plane + (2 * i + r) * x_.row(), columns, even, odd);
        }
      }
    }
  }

  PlaneConv call(const PlaneFrame& frame, int64_t image) const {
    const bool split = stride_ == 2;
    PlaneConv c;
    c.in = frame.at(image, split ? scratch_ : x_.at);
    c.in_channels = x_.channels, c.in_plane = split ? phases() * phase() : x_.plane();
    c.tap = tap_.data(), c.taps = kernel_ * kernel_;
    c.weight = experts_ > 1 ? frame.at(image, merged_) : weight_.data(), c.bias = or_null(bias_);
    c.residual = residual_ ? frame.at(image, other_.at + other_.inside()) : nullptr;
    c.out = frame.at(image, out_.at + out_.inside());
    c.out_plane = out_.plane(), c.pixels = pixels_, c.lanes = lanes_.data(), c.relu = relu_;
    return c;
  }

  PlaneMap x_, out_, other_;
  int64_t scratch_, kernel_, stride_, chunk_ = 8;
  bool residual_, relu_;
  int64_t pixels_, experts_, mixing_, merged_;
  std::vector<float> weight_, bias_;
  std::vector<int32_t> tap_;
  std::vector<uint16_t> lanes_;
};

}  // namespace

std::unique_ptr<PlaneStep> make_plane_convolution(const Step& step, const PlaneOperands& operands) {
  return std::make_unique<ConvolutionStep>(step, operands);
}

}  // namespace gw::ops
