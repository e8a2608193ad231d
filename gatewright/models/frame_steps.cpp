#include "gatewright/models/frame_steps.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdlib>
#include <deque>
#include <utility>

#include "gatewright/base/check.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/dense.h"
#include "gatewright/ops/init.h"

namespace gw::inline models {

at::Tensor frame_product(const at::Tensor& frame, const at::Tensor& weight, int64_t out,
                         const at::Tensor& bias) {
  ops::DenseWeight w;
  w.weight = weight.contiguous(), w.bias = bias;
  w.out = out, w.in = weight.numel() / out;
  return ops::dense(frame, w);
}

void add_frame(const at::Tensor& x, at::Tensor& y) {
  const auto beside = x.contiguous();
  AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "add_frame", [&] {
    const auto* from = beside.data_ptr<scalar_t>();
    auto* to = y.data_ptr<scalar_t>();
    for (int64_t i = 0; i < y.numel(); ++i) to[i] += from[i];
  });
}

at::Tensor FrameSteps::step(const at::Tensor& frame) {
  if (frame.defined()) {
    GW_CHECK(!ended_, "frames: expected no frame behind the end of the streams, got one; reset first");
    GW_CHECK(frame.dim() == 2 && (taken_ == 0 || frame.size(0) == streams_),
             "frames: expected a frame of each of {} streams, got {}; reset for others", streams_,
             c10::str(frame.sizes()));
    streams_ = frame.size(0);
    ++taken_;
  } else {
    ended_ = true;
    if (waiting() == 0) return {};
  }
  auto out = pushed(frame);
  if (pushes_++ < delay()) return {};
  ++given_;
  return out;
}

void FrameSteps::reset() {
  taken_ = given_ = pushes_ = streams_ = 0;
  ended_ = false;
  forget();
}

namespace {

class DelayLine : public FrameSteps {
 public:
  explicit DelayLine(int64_t delay) : delay_(delay) {}
  int64_t delay() const override { return delay_; }

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    kept_.push_back(frame);
    if (static_cast<int64_t>(kept_.size()) <= delay_) return {};
    auto out = kept_.front();
    kept_.pop_front();
    return out;
  }
  void forget() override { kept_.clear(); }

 private:
  int64_t delay_;
  std::deque<at::Tensor> kept_;
};

/// Sums that wait for their later frames, in a ring: the one at `at_` is complete after the present push.
class ConvSteps : public FrameSteps {
 public:
  ConvSteps(const TimeConvShape& shape, at::Tensor weight, at::Tensor bias)
      : shape_(shape), weight_(std::move(weight)), bias_(std::move(bias)) {}
  int64_t delay() const override { return shape_.ahead; }

 protected:
  at::Tensor pushed(const at::Tensor& frame) override {
    const int64_t length = shape_.reach() + 1;
    at::Tensor parts;
    if (frame.defined()) {
      if (!ring_.defined()) ring_ = at::zeros({frame.size(0), length, shape_.out}, frame.options());
      parts = frame_product(frame, weight_, shape_.kernel * shape_.out);
    }
    auto out = at::empty({ring_.size(0), shape_.out}, ring_.options());
    AT_DISPATCH_FLOATING_TYPES(ring_.scalar_type(), "TimeConv", [&] {
      turn<scalar_t>(parts.defined() ? parts.data_ptr<scalar_t>() : nullptr, out.data_ptr<scalar_t>());
    });
    at_ = (at_ + 1) % length;
    return out;
  }
  void forget() override {
    ring_ = at::Tensor();
    at_ = 0;
  }

 private:
  /// Adds the products of the frame to the sums that wait for them and gives the one that is complete.
  template <class T>
  void turn(const T* parts, T* out) {
    const int64_t width = shape_.out, length = shape_.reach() + 1;
    auto* ring = ring_.data_ptr<T>();
    const auto* bias = bias_.data_ptr<T>();
    for (int64_t s = 0; s < ring_.size(0); ++s) {
      auto* own = ring + s * length * width;
      for (int64_t j = 0; parts != nullptr && j < shape_.kernel; ++j) {
        auto* to = own + (at_ + j * shape_.dilation) % length * width;
        const auto* from = parts + (s * shape_.kernel + j) * width;
        for (int64_t c = 0; c < width; ++c) to[c] += from[c];
      }
      auto* ready = own + at_ * width;
      for (int64_t c = 0; c < width; ++c) {
        out[s * width + c] = ready[c] + bias[c];
        ready[c] = 0;
      }
    }
  }

  TimeConvShape shape_;
  at::Tensor weight_, bias_, ring_;
  int64_t at_ = 0;
};

}  // namespace

std::unique_ptr<FrameSteps> delay_line(int64_t delay) { return std::make_unique<DelayLine>(delay); }

TimeConv::TimeConv(const TimeConvShape& shape, const Rng& rng)
    : torch::nn::Module("TimeConv"), shape_(shape) {
  GW_CHECK(shape.ahead >= 0 && shape.ahead <= shape.reach(),
           "time convolution: expected to look 0 to {} frames ahead, got {}", shape.reach(), shape.ahead);
  const auto drawn = ops::default_uniform(rng, {shape.out, shape.kernel, shape.in});
  weight_ = register_parameter("weight", drawn.permute({1, 0, 2}).contiguous());
  bias_ = register_parameter("bias", at::zeros({shape.out}));
}

at::Tensor TimeConv::forward(const at::Tensor& x) const {
  GW_CHECK(x.dim() == 3 && x.size(2) == shape_.in, "time convolution: expected [B, T, {}], got {}", shape_.in,
           c10::str(x.sizes()));
  const int64_t b = x.size(0), t = x.size(1);
  const auto products =
      ops::linear(x.reshape({b * t, shape_.in}), weight_.view({shape_.kernel * shape_.out, shape_.in}), {})
          .view({b, t, shape_.kernel, shape_.out});
  auto y = bias_.expand({b, t, shape_.out});
  for (int64_t j = 0; j < shape_.kernel; ++j) {
    const int64_t later = j * shape_.dilation - shape_.ahead, shared = t - std::abs(later);
    if (shared <= 0) continue;
    const auto tap = products.select(2, j).narrow(1, later < 0 ? -later : 0, shared);
    y = y + at::constant_pad_nd(tap, {0, 0, later > 0 ? later : 0, later < 0 ? -later : 0});
  }
  return y;
}

std::unique_ptr<FrameSteps> TimeConv::steps() const {
  return std::make_unique<ConvSteps>(shape_, weight_, bias_);
}

}  // namespace gw::inline models
