#pragma once
// Images on channel planes while a network trains: where they lie, how they come there, and the kernel's
// calls.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gatewright/kernels/plane_conv/family.h"
#include "gatewright/ops/thread_pool.h"

namespace gw::ops {

inline const kernels::PlaneTable& plane_table() { return kernels::plane_conv_family()(); }

/// Where a group of images lies: the planes of a channel one below the other, with one row of zeros above
/// each and below the last, and one column of zeros to the right, which is also the left border of the row
/// after it.
struct PlaneLayout {
  /// `images`: of the whole batch. `most`: how many a group may hold.
  PlaneLayout(int64_t images, int64_t height, int64_t width, int64_t kernel, int64_t most = 64);

  int64_t image() const { return (height + border) * row; }
  int64_t first() const { return border * (row + 1); }
  int64_t pixels(int64_t images) const { return images * image() - border * row - border; }
  /// Rounded up to whole vectors: the last one may be read to its end.
  int64_t plane() const { return (first() + group * image() + border + kernels::kPlaneLanes) / 16 * 16; }
  int64_t floats(int64_t channels) const { return channels * plane() + 2 * kernels::kPlaneLanes; }
  /// Images of group g, and how many the kernel takes: as many as there are, unless fewer would change how
  /// weights are packed.
  int64_t images_of(int64_t g, int64_t images) const { return std::min(group, images - g * group); }
  int64_t pixels_for(int64_t images) const;

  int64_t height, width, border, row, group = 1, groups = 0;
  std::vector<uint16_t> lanes;
  std::vector<int32_t> tap;
};

/// The weights [E·O, C, k, k] of E experts as the kernel reads them, in blocks of output channels, expert
/// after expert: in f32, as many values. `pixels`: of the planes that they will meet. `back`: of the
/// convolution that takes the gradient of the output to that of the input, so channels change places and taps
/// run backwards.
std::vector<float> packed_kernels(const at::Tensor& weight, int64_t experts, int64_t pixels,
                                  bool back = false);

/// Zeroed memory of each worker for `channels` planes.
class PlaneSpace {
 public:
  PlaneSpace(const PlaneLayout& at, int64_t channels, int workers);
  float* of(int worker) const { return memory_ + worker * floats_; }

 private:
  int64_t floats_;
  Workspace space_;
  float* memory_ = nullptr;
};

/// Images of a contiguous tensor into planes and back.
struct PlaneImages {
  const PlaneLayout& at;
  int64_t channels;

  /// `gate`: laid out like x, or null; values where it is not positive become 0.
  void in(const float* x, const float* gate, int64_t images, float* planes) const;
  void out(const float* planes, int64_t images, float* x) const;
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

/// relu?(conv(planes, weight) + bias) of up to a group of images; weights packed.
struct PlaneConvolver {
  const PlaneLayout& at;
  int64_t ins, outs;
  const float *weight, *bias;
  bool relu;
  void run(const float* planes, int64_t images, float* result) const;
};

/// The gradient of weights [outs, ins, k, k], summed over a group of images: written to `sums`.
void plane_weight_sums(const PlaneLayout& at, const float* x, int64_t ins, const float* gradient,
                       int64_t outs, int64_t images, float* sums);

/// As many threads as have work for some microseconds each.
TorchPool plane_pool(int64_t macs);

/// The sum of blocks of as many values as `like` has, block after block in f64: independent of who made them.
at::Tensor added_in_order(const std::vector<float>& blocks, const at::Tensor& like);

}  // namespace gw::ops
