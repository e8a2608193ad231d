// The level that is obviously right.
#include "gatewright/kernels/plane_conv/plane_conv.h"

namespace gw::kernels {
namespace {

void pixel(const PlaneConv& c, const float* weight, int64_t block, int64_t o, int64_t first, int64_t p) {
  float sum = c.bias != nullptr ? c.bias[o] : 0;
  for (int64_t i = 0; i < c.in_channels; ++i) {
    for (int64_t t = 0; t < c.taps; ++t)
      sum += weight[(i * c.taps + t) * block + o - first] * c.in[i * c.in_plane + p + c.tap[t]];
  }
  if (c.residual != nullptr) sum += c.residual[o * c.out_plane + p];
  c.out[o * c.out_plane + p] = c.relu && sum <= 0 ? 0 : sum;
}

void convolve(const PlaneConv& c, int64_t first, int64_t last) {
  for (int64_t start = first; start < last;) {
    const int64_t block = plane_block(last - start, c.pixels);
    const float* weight = c.weight + start * c.in_channels * c.taps;
    for (int64_t o = start; o < start + block; ++o) {
      for (int64_t p = 0; p < c.pixels; ++p) {
        if ((c.lanes[p / kPlaneLanes] >> (p % kPlaneLanes) & 1) != 0) pixel(c, weight, block, o, start, p);
      }
    }
    start += block;
  }
}

float larger(float a, float b) { return a > b || a != a ? a : b; }

void max_pool2(const float* in, int64_t in_row, float* out, int64_t out_row, int64_t height, int64_t width) {
  for (int64_t i = 0; i < height; ++i, in += 2 * in_row, out += out_row) {
    for (int64_t j = 0; j < width; ++j) {
      const float top = larger(in[2 * j], in[2 * j + 1]);
      out[j] = larger(top, larger(in[in_row + 2 * j], in[in_row + 2 * j + 1]));
    }
  }
}

void split2(const float* x, int64_t count, float* even, float* odd) {
  for (int64_t i = 0; i < count; ++i) even[i] = x[2 * i], odd[i] = x[2 * i + 1];
}

#include "gatewright/kernels/plane_conv/loops.inl"

}  // namespace

const PlaneTable plane_conv_ref{convolve, max_pool2, split2, linear};

}  // namespace gw::kernels
