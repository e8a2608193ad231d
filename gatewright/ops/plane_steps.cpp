#include "gatewright/ops/plane_steps.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/kernels/activations/family.h"
#include "gatewright/kernels/plane_conv/family.h"

namespace gw::ops {
namespace {

constexpr int64_t kSlack = 4 * kernels::kPlaneLanes;  // two vectors may be read beyond the last pixel

/// Every plane of every image, by (from plane, to plane).
template <class F>
void each_plane(const PlaneFrame& frame, const PlaneMap& from, const PlaneMap& to, int64_t channels,
                const F& f) {
  for (int64_t i = 0; i < frame.images; ++i) {
    for (int64_t c = 0; c < channels; ++c)
      f(frame.at(i, from.at + c * from.plane()), frame.at(i, to.at + c * to.plane()), c);
  }
}

class ScaleStep : public PlaneStep {
 public:
  ScaleStep(const Step& s, const PlaneOperands& o)
      : o_(o), relu_(s.relu), scale_(values_of(s.weight)), shift_(values_of(s.bias)) {}
  void run(const PlaneFrame& frame) const override {
    each_plane(frame, o_.x, o_.out, o_.x.channels, [&](const float* from, float* to, int64_t c) {
      const float a = scale_[static_cast<size_t>(c)], b = shift_[static_cast<size_t>(c)];
      for (int64_t i = 1; i <= o_.x.height; ++i) {
        for (int64_t j = i * o_.x.row() + 1; j <= i * o_.x.row() + o_.x.width; ++j) {
          const float y = a * from[j] + b;
          to[j] = relu_ && y <= 0 ? 0 : y;
        }
      }
    });
  }

 private:
  PlaneOperands o_;
  bool relu_;
  std::vector<float> scale_, shift_;
};

/// Windows of size×size without overlap; those at the edge may be incomplete (`ceil`).
class PoolStep : public PlaneStep {
 public:
  PoolStep(const Step& s, const PlaneOperands& o)
      : o_(o), size_(s.size), largest_(s.kind == Step::Kind::kMaxPool) {}
  void run(const PlaneFrame& frame) const override {
    const bool whole = o_.out.height * size_ <= o_.x.height && o_.out.width * size_ <= o_.x.width;
    const auto fast = kernels::plane_conv_family()().max_pool2;
    each_plane(frame, o_.x, o_.out, o_.x.channels, [&](const float* from, float* to, int64_t) {
      if (largest_ && size_ == 2 && whole)
        return fast(from + o_.x.inside(), o_.x.row(), to + o_.out.inside(), o_.out.row(), o_.out.height,
                    o_.out.width);
      for (int64_t i = 0; i < o_.out.height; ++i) {
        for (int64_t j = 0; j < o_.out.width; ++j) to[(i + 1) * o_.out.row() + j + 1] = window(from, i, j);
      }
    });
  }

 private:
  float window(const float* from, int64_t i, int64_t j) const {
    const int64_t bottom = std::min(o_.x.height, (i + 1) * size_),
                  right = std::min(o_.x.width, (j + 1) * size_);
    float best = from[(i * size_ + 1) * o_.x.row() + j * size_ + 1], sum = 0;
    for (int64_t y = i * size_; y < bottom; ++y) {
      for (int64_t x = j * size_; x < right; ++x) {
        const float v = from[(y + 1) * o_.x.row() + x + 1];
        sum += v;
        if (v > best || v != v) best = v;
      }
    }
    return largest_ ? best : sum / static_cast<float>(size_ * size_);
  }

  PlaneOperands o_;
  int64_t size_;
  bool largest_;
};

/// Means of size×size windows that cover the map as libtorch's adaptive pool cuts it.
class MeansStep : public PlaneStep {
 public:
  MeansStep(const Step& s, const PlaneOperands& o) : o_(o), size_(s.kind == Step::Kind::kMean ? 1 : s.size) {}
  void run(const PlaneFrame& frame) const override {
    for (int64_t i = 0; i < frame.images; ++i) {
      float* to = frame.at(i, o_.out.at);
      for (int64_t c = 0; c < o_.x.channels; ++c) {
        const float* plane = frame.at(i, o_.x.at + c * o_.x.plane());
        if (size_ == 1) {
          *to++ = whole_mean(plane);
          continue;
        }
        for (int64_t w = 0; w < size_ * size_; ++w) *to++ = mean(plane, w / size_, w % size_);
      }
    }
  }

 private:
  /// The zeros of the border add nothing: one run over the plane.
  float whole_mean(const float* plane) const {
    return kernels::plane_conv_family()().total(plane, o_.x.plane()) /
           static_cast<float>(o_.x.height * o_.x.width);
  }

  float mean(const float* plane, int64_t i, int64_t j) const {
    const int64_t top = i * o_.x.height / size_, bottom = ((i + 1) * o_.x.height + size_ - 1) / size_;
    const int64_t left = j * o_.x.width / size_, right = ((j + 1) * o_.x.width + size_ - 1) / size_;
    float sum = 0;
    for (int64_t y = top; y < bottom; ++y) {
      for (int64_t x = left; x < right; ++x) sum += plane[(y + 1) * o_.x.row() + x + 1];
    }
    return sum / static_cast<float>((bottom - top) * (right - left));
  }

  PlaneOperands o_;
  int64_t size_;
};

class ActivatedStep : public PlaneStep {
 public:
  ActivatedStep(const Step& s, const PlaneOperands& o) : o_(o), unit_(s.activation->unit()) {
    for (const double p : s.activation->parameters()) parameters_.push_back(static_cast<float>(p));
    parameters_.push_back(0);  // never empty
  }
  void run(const PlaneFrame& frame) const override {
    const auto value = kernels::activation_family()().rows[unit_].value;
    if (o_.x.flat) {
      for (int64_t i = 0; i < frame.images; ++i)
        value(frame.at(i, o_.x.at), o_.x.channels, parameters_.data(), frame.at(i, o_.out.at));
      return;
    }
    each_plane(frame, o_.x, o_.out, o_.x.channels, [&](const float* from, float* to, int64_t) {
      for (int64_t r = 1; r <= o_.x.height; ++r)
        value(from + r * o_.x.row() + 1, o_.x.width, parameters_.data(), to + r * o_.x.row() + 1);
    });
  }

 private:
  PlaneOperands o_;
  int unit_;
  std::vector<float> parameters_;
};

class SumStep : public PlaneStep {
 public:
  explicit SumStep(const PlaneOperands& o) : o_(o) {}
  void run(const PlaneFrame& frame) const override {
    const int64_t n = o_.x.channels * o_.x.plane();  // borders: 0 + 0
    for (int64_t i = 0; i < frame.images; ++i) {
      const float *a = frame.at(i, o_.x.at), *b = frame.at(i, o_.other.at);
      float* to = frame.at(i, o_.out.at);
      for (int64_t k = 0; k < n; ++k) to[k] = a[k] + b[k];
    }
  }

 private:
  PlaneOperands o_;
};

class ConcatenationStep : public PlaneStep {
 public:
  explicit ConcatenationStep(const PlaneOperands& o) : o_(o) {}
  void run(const PlaneFrame& frame) const override {
    const size_t first = sizeof(float) * static_cast<size_t>(o_.x.channels * o_.x.plane());
    const size_t second = sizeof(float) * static_cast<size_t>(o_.other.channels * o_.other.plane());
    for (int64_t i = 0; i < frame.images; ++i) {
      std::memcpy(frame.at(i, o_.out.at), frame.at(i, o_.x.at), first);
      std::memcpy(frame.at(i, o_.out.at + o_.x.channels * o_.x.plane()), frame.at(i, o_.other.at), second);
    }
  }

 private:
  PlaneOperands o_;
};

class LinearStep : public PlaneStep {
 public:
  LinearStep(const Step& s, const PlaneOperands& o)
      : o_(o), weight_(values_of(s.weight.t())), bias_(values_of(s.bias)) {}
  void run(const PlaneFrame& frame) const override {
    for (int64_t i = 0; i < frame.images; ++i)
      kernels::plane_conv_family()().linear(frame.at(i, o_.x.at), o_.x.channels, weight_.data(),
                                            or_null(bias_), o_.out.channels, frame.at(i, o_.out.at));
  }

 private:
  PlaneOperands o_;
  std::vector<float> weight_, bias_;
};

class MixStep : public PlaneStep {
 public:
  MixStep(const Step& s, const PlaneOperands& o) : o_(o), parts_(s.mixing.size(1)) {}
  void run(const PlaneFrame& frame) const override {
    for (int64_t i = 0; i < frame.images; ++i)
      kernels::plane_conv_family()().linear(frame.at(i, o_.mixing.at), parts_, frame.at(i, o_.x.at), nullptr,
                                            o_.out.channels, frame.at(i, o_.out.at));
  }

 private:
  PlaneOperands o_;
  int64_t parts_;
};

class SubsampleStep : public PlaneStep {
 public:
  SubsampleStep(const Step& s, const PlaneOperands& o) : o_(o), stride_(s.stride), before_(s.padding) {}
  void run(const PlaneFrame& frame) const override {
    PlaneMap to = o_.out;
    for (int64_t i = 0; i < frame.images; ++i)  // the place may have held another map
      std::memset(frame.at(i, to.at), 0, sizeof(float) * static_cast<size_t>(to.channels * to.plane()));
    to.at += before_ * to.plane();
    each_plane(frame, o_.x, to, o_.x.channels, [&](const float* from, float* out, int64_t) {
      for (int64_t i = 0; i < to.height; ++i) {
        for (int64_t j = 0; j < to.width; ++j)
          out[(i + 1) * to.row() + j + 1] = from[(i * stride_ + 1) * o_.x.row() + j * stride_ + 1];
      }
    });
  }

 private:
  PlaneOperands o_;
  int64_t stride_, before_;
};

int64_t pooled_size(int64_t from, const Step& s) {
  return s.ceil ? (from + s.size - 1) / s.size : from / s.size;
}

PlaneMap convolved(const Step& s, const PlaneMap& x) {
  const int64_t kernel = s.weight.size(2);
  GW_CHECK((kernel == 1 || kernel == 3) && s.weight.size(3) == kernel && (s.stride == 1 || s.stride == 2) &&
               s.padding == kernel / 2,
           "compiled pathway: expected convolutions of 1x1 or 3x3 with padding to the same size and stride 1 "
           "or 2, got "
           "{}x{}, padding {}, stride {}; run the network itself",
           kernel, s.weight.size(3), s.padding, s.stride);
  return {s.weight.size(0) / plane_experts(s), (x.height - 1) / s.stride + 1, (x.width - 1) / s.stride + 1};
}

}  // namespace

int64_t PlaneMap::floats() const { return flat ? channels : channels * plane() + kSlack; }

PlaneMap plane_result(const Step& s, const PlaneMap& x) {
  using Kind = Step::Kind;
  switch (s.kind) {
    case Kind::kConvolution:
    case Kind::kMergedConvolution:
      return convolved(s, x);
    case Kind::kMaxPool:
    case Kind::kAveragePool:
      return {x.channels, pooled_size(x.height, s), pooled_size(x.width, s)};
    case Kind::kMean:
      return {x.channels, 1, 1, true};
    case Kind::kAdaptivePool:
      return {x.channels * s.size * s.size, 1, 1, true};
    case Kind::kLinear:
      return {s.weight.size(0), 1, 1, true};
    case Kind::kMix:
      return {s.out.size(1), 1, 1, true};
    case Kind::kConcatenation:
      return {s.out.size(1), x.height, x.width};
    case Kind::kSubsample:
      return {s.out.size(1), s.out.size(2), s.out.size(3)};
    case Kind::kScale:
    case Kind::kActivation:
    case Kind::kSum:
      break;
  }
  return {x.channels, x.height, x.width, x.flat};
}

int64_t plane_experts(const Step& s) {
  return s.kind == Step::Kind::kMergedConvolution ? s.mixing.size(1) : 1;
}

int64_t plane_phases(const Step& s, const PlaneMap& x) {
  if (s.stride == 1) return 0;
  const PlaneMap out = convolved(s, x);
  const int64_t phases = s.weight.size(2) == 1 ? 1 : 4, phase = (out.height + 1) * out.row();
  return x.channels * phases * phase + out.row() + kSlack;  // a row for pixels that nobody reads
}

int64_t plane_scratch(const Step& s, const PlaneMap& x) {
  if (s.kind == Step::Kind::kConvolution) return plane_phases(s, x);
  if (s.kind != Step::Kind::kMergedConvolution) return 0;
  return plane_phases(s, x) + s.weight.numel() / plane_experts(s);
}

int64_t plane_macs(const Step& s, const PlaneMap& out) {
  const int64_t pixels = out.height * out.width;
  switch (s.kind) {
    case Step::Kind::kConvolution:
      return s.weight.numel() * pixels;
    case Step::Kind::kMergedConvolution:
      return s.weight.numel() / plane_experts(s) * pixels + s.weight.numel();
    case Step::Kind::kLinear:
      return s.weight.numel();
    default:
      return 0;
  }
}

std::unique_ptr<PlaneStep> make_plane_step(const Step& s, const PlaneOperands& o) {
  using Kind = Step::Kind;
  switch (s.kind) {
    case Kind::kConvolution:
    case Kind::kMergedConvolution:
      return make_plane_convolution(s, o);
    case Kind::kScale:
      return std::make_unique<ScaleStep>(s, o);
    case Kind::kMaxPool:
    case Kind::kAveragePool:
      return std::make_unique<PoolStep>(s, o);
    case Kind::kMean:
    case Kind::kAdaptivePool:
      return std::make_unique<MeansStep>(s, o);
    case Kind::kActivation:
      return std::make_unique<ActivatedStep>(s, o);
    case Kind::kSum:
      return std::make_unique<SumStep>(o);
    case Kind::kConcatenation:
      return std::make_unique<ConcatenationStep>(o);
    case Kind::kLinear:
      return std::make_unique<LinearStep>(s, o);
    case Kind::kMix:
      return std::make_unique<MixStep>(s, o);
    case Kind::kSubsample:
      break;
  }
  return std::make_unique<SubsampleStep>(s, o);
}

}  // namespace gw::ops
