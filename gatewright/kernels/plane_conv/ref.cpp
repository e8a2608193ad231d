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

void weight_gradient(const PlaneGradient& g) {
  for (int64_t o = 0; o < g.out_channels; ++o) {
    for (int64_t j = 0; j < g.in_channels * g.taps; ++j) {
      const float* x = g.in + j / g.taps * g.in_plane + g.tap[j % g.taps];
      float sum = 0;
      for (int64_t p = 0; p < g.pixels; ++p) {
        if ((g.lanes[p / kPlaneLanes] >> (p % kPlaneLanes) & 1) != 0)
          sum += g.gradient[o * g.out_plane + p] * x[p];
      }
      g.weight[o * g.in_channels * g.taps + j] = sum;
    }
  }
}

void copy_rows(const PlaneRows& r) {
  for (int64_t i = 0; i < r.rows; ++i) {
    for (int64_t j = 0; j < r.width; ++j) {
      const int64_t from = i * r.from_row + j;
      r.to[i * r.to_row + j] = r.gate != nullptr && r.gate[from] <= 0 ? 0 : r.from[from];
    }
  }
}

void max_pool2_gradient(const float* in, int64_t in_row, const float* dy, int64_t dy_row, float* dx,
                        int64_t height, int64_t width) {
  for (int64_t i = 0; i < height; ++i, in += 2 * in_row, dx += 2 * in_row, dy += dy_row) {
    for (int64_t j = 0; j < width; ++j) {
      const int64_t place[4] = {2 * j, 2 * j + 1, in_row + 2 * j, in_row + 2 * j + 1};
      int best = 0;
      for (int k = 1; k < 4; ++k) {
        const float x = in[place[k]];
        if (x > in[place[best]] || x != x) best = k;
      }
      for (int k = 0; k < 4; ++k) dx[place[k]] = k == best ? dy[j] : 0;
    }
  }
}

#include "gatewright/kernels/plane_conv/loops.inl"

}  // namespace

const PlaneTable plane_conv_ref{convolve,  max_pool2,          split2, linear, weight_gradient,
                                copy_rows, max_pool2_gradient, total,  merge};

}  // namespace gw::kernels
