#pragma once
// Inference on channel planes: every channel of one image is a plane of rows with a border of zeros, so that
// a 3×3 convolution is a sum of shifted planes and the lanes of a vector are neighbouring pixels. Narrow
// networks fill the lanes that way: a pathway of 4 or 8 channels leaves most lanes of a channels-last kernel
// empty. Files compiled for one instruction set include this header: nothing here may have external inline
// code.
#include <cstdint>

namespace gw::kernels {

/// Pixels that one word of `PlaneConv::lanes` speaks for.
static constexpr int64_t kPlaneLanes = 16;

/// Output channels that are computed together where `left` remain, for planes of `pixels`: weights are packed
/// so. Small planes take more channels at once, else there would be too few independent sums.
static constexpr int64_t plane_block(int64_t left, int64_t pixels) {
  const int64_t most = pixels <= 3 * kPlaneLanes ? 8 : 4;
  return left >= most ? most : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/// One convolution of one image.
/// Shapes: pixel p of an output plane is row p / row, column p % row; columns from the map's width on are
/// border, and
///         `lanes` tells (bit p % 16 of word p / 16) which pixels are written. `in` and `out` point to what
///         pixel 0 reads with offset 0 and to where it is written.
struct PlaneConv {
  const float* in;
  int64_t in_channels, in_plane;  ///< in_plane: values from one input channel to the next
  const int32_t* tap;             ///< [taps] offset of each tap from the pixel
  int64_t taps;
  const float* weight;  ///< block after block of output channels: [in_channels][taps][channels of the block]
  const float* bias;    ///< [out_channels], or null
  const float* residual;  ///< added before the ReLU; laid out like `out`; or null
  float* out;
  int64_t out_plane, pixels;
  const uint16_t* lanes;  ///< [pixels / 16, rounded up]
  bool relu;
};

/// One level. Sums go over input channels, then taps, one by one for every pixel: the same bits however the
/// images and output channels are shared out, other bits than another level's.
struct PlaneTable {
  /// Output channels first … last, first at the start of a block and last at the end of one.
  /// Math:   out[o][p] = relu?(bias[o] + Σ_c Σ_t weight[o][c][t] · in[c][p + tap[t]] + residual[o][p]).
  /// Cost:   2·(last − first)·in_channels·taps flop for every pixel, 16 at a time. Reads up to 15 values
  /// beyond the
  ///         last pixel's taps and uses none of them.
  void (*convolve)(const PlaneConv& conv, int64_t first, int64_t last);
  /// The largest of each 2×2 window of a plane; NaN wins. in, out: first value of row 0; strides in values.
  /// Reads up to 31 values beyond the end of a row.
  void (*max_pool2)(const float* in, int64_t in_row, float* out, int64_t out_row, int64_t height,
                    int64_t width);
  /// even[i] = x[2·i], odd[i] = x[2·i + 1] for i < count. Reads up to 31 values beyond.
  void (*split2)(const float* x, int64_t count, float* even, float* odd);
  /// y[o] = bias[o] + Σ_i x[i] · weight[i][o]; bias may be null.
  void (*linear)(const float* x, int64_t in, const float* weight, const float* bias, int64_t out, float* y);
};

extern const PlaneTable plane_conv_ref;
extern const PlaneTable plane_conv_avx2;
extern const PlaneTable plane_conv_avx512;

}  // namespace gw::kernels
