#include "gatewright/ops/plane_layout.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace gw::ops {

using kernels::kPlaneLanes;
using kernels::plane_block;

namespace {

// A group fills 64 vectors with pixels, so that the sums over lanes that end a weight's gradient cost little;
// with 16 channels its planes are 64 KB and stay in the second cache.
constexpr int64_t kGroupPixels = 1024;

// A thread costs some microseconds, in which one alone computes this many multiply-adds.
constexpr int64_t kMacsPerThread = 200'000;

}  // namespace

PlaneLayout::PlaneLayout(int64_t images, int64_t h, int64_t w, int64_t kernel, int64_t most)
    : height(h), width(w), border(kernel / 2), row(width + border) {
  const int64_t fits = std::clamp<int64_t>(kGroupPixels / image(), 1, most);
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

int64_t PlaneLayout::pixels_for(int64_t images) const {
  const bool same = plane_block(8, pixels(images)) == plane_block(8, pixels(group));
  return pixels(same ? images : group);
}

std::vector<float> packed_kernels(const at::Tensor& weight, int64_t experts, int64_t pixels, bool back) {
  const auto values = weight.detach().to(at::kFloat).contiguous();
  const int64_t outs = weight.size(0) / experts, ins = weight.size(1), taps = weight.size(2) * weight.size(3);
  const int64_t rows = back ? ins : outs, columns = back ? outs : ins;
  std::vector<float> to;
  to.reserve(static_cast<size_t>(values.numel()));
  for (int64_t e = 0; e < experts; ++e) {
    const float* from = values.data_ptr<float>() + e * outs * ins * taps;
    for (int64_t o = 0, block = 0; o < rows; o += block) {
      block = plane_block(rows - o, pixels);
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t t = 0; t < taps; ++t) {
          for (int64_t b = o; b < o + block; ++b)
            to.push_back(back ? from[(i * ins + b) * taps + taps - 1 - t] : from[(b * ins + i) * taps + t]);
        }
      }
    }
  }
  return to;
}

PlaneSpace::PlaneSpace(const PlaneLayout& at, int64_t channels, int workers) : floats_(at.floats(channels)) {
  memory_ = static_cast<float*>(space_.take(4 * floats_ * workers));
  std::fill_n(memory_, floats_ * workers, 0.0f);
}

void PlaneImages::in(const float* x, const float* gate, int64_t images, float* planes) const {
  each(images, [&](int64_t outside, int64_t inside) {
    plane_table().copy_rows({x + outside, at.width, gate == nullptr ? nullptr : gate + outside,
                             planes + inside, at.row, at.height, at.width});
  });
}

void PlaneImages::out(const float* planes, int64_t images, float* x) const {
  each(images, [&](int64_t outside, int64_t inside) {
    plane_table().copy_rows({planes + inside, at.row, nullptr, x + outside, at.width, at.height, at.width});
  });
}

void PlaneConvolver::run(const float* planes, int64_t images, float* result) const {
  kernels::PlaneConv c;
  c.in = planes + at.first(), c.in_channels = ins, c.in_plane = at.plane();
  c.tap = at.tap.data(), c.taps = static_cast<int64_t>(at.tap.size());
  c.weight = weight, c.bias = bias, c.residual = nullptr;
  c.out = result + at.first(), c.out_plane = at.plane(), c.pixels = at.pixels_for(images);
  c.lanes = at.lanes.data(), c.relu = relu;
  plane_table().convolve(c, 0, outs);
}

void plane_weight_sums(const PlaneLayout& at, const float* x, int64_t ins, const float* gradient,
                       int64_t outs, int64_t images, float* sums) {
  kernels::PlaneGradient call;
  call.in = x + at.first(), call.in_channels = ins, call.in_plane = at.plane();
  call.tap = at.tap.data(), call.taps = static_cast<int64_t>(at.tap.size());
  call.gradient = gradient + at.first(), call.out_channels = outs, call.out_plane = at.plane();
  call.pixels = at.pixels(images), call.lanes = at.lanes.data(), call.weight = sums;
  plane_table().weight_gradient(call);
}

TorchPool plane_pool(int64_t macs) {
  return TorchPool(static_cast<int>(std::clamp<int64_t>(macs / kMacsPerThread, 1, 1 << 20)));
}

at::Tensor added_in_order(const std::vector<float>& blocks, const at::Tensor& like) {
  const auto values = static_cast<size_t>(like.numel());
  std::vector<double> total(values);
  for (size_t i = 0; i < blocks.size(); i += values) {
    for (size_t j = 0; j < values; ++j) total[j] += static_cast<double>(blocks[i + j]);
  }
  const auto result = at::empty(like.sizes(), like.options(), at::MemoryFormat::Contiguous);
  std::transform(total.begin(), total.end(), result.data_ptr<float>(),
                 [](double v) { return static_cast<float>(v); });
  return result;
}

}  // namespace gw::ops
