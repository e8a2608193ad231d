#pragma once
// Narrow convolutions on channel planes: every channel of one image is a plane of rows with a border of
// zeros, so that a 3×3 convolution is a sum of shifted planes and the lanes of a vector are neighbouring
// pixels. Narrow networks fill the lanes that way: a pathway of 4 or 8 channels leaves most lanes of a
// channels-last kernel empty. Files compiled for one instruction set include this header: nothing here may
// have external inline code.
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

/// The gradient of the weights of one convolution, over pixels as in PlaneConv.
struct PlaneGradient {
  const float* in;  ///< what pixel 0 reads with offset 0
  int64_t in_channels, in_plane;
  const int32_t* tap;  ///< [taps]
  int64_t taps;
  const float* gradient;  ///< of the output: pixel 0 of channel 0
  int64_t out_channels, out_plane, pixels;
  const uint16_t* lanes;  ///< those before `pixels` count; others are not used, whatever they hold
  float* weight;          ///< [out_channels][in_channels][taps], written
};

/// Rows of values from one pitch to another.
struct PlaneRows {
  const float* from;
  int64_t from_row;
  const float*
      gate;  ///< laid out like `from`, or null: 0 is written where gate <= 0, as a ReLU's backward does
  float* to;
  int64_t to_row, rows, width;
};

/// The kernels of all experts as one for each image.
/// Math: to[i][p] = Σ_e share[i][e] · kernel[e][p], experts in order.
struct PlaneMerge {
  const float* share;
  int64_t share_next, images, experts;  ///< share_next: values from one image's shares to the next one's
  const float* kernel;                  ///< [experts][values]
  int64_t values;
  float* to;
  int64_t to_next;
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
  /// The largest of each 2×2 window of a plane; NaN wins. in, out: first value of row 0; strides in values;
  /// height, width: of the output.
  void (*max_pool2)(const float* in, int64_t in_row, float* out, int64_t out_row, int64_t height,
                    int64_t width);
  /// even[i] = x[2·i], odd[i] = x[2·i + 1] for i < count. Reads up to 31 values beyond.
  void (*split2)(const float* x, int64_t count, float* even, float* odd);
  /// y[o] = bias[o] + Σ_i x[i] · weight[i][o]; bias may be null.
  void (*linear)(const float* x, int64_t in, const float* weight, const float* bias, int64_t out, float* y);
  /// Math:   weight[o][c][t] = Σ_p gradient[o][p] · in[c][p + tap[t]].
  /// Cost:   2·out_channels·in_channels·taps flop for every pixel, 16 at a time; lanes keep sums of their
  /// own,
  ///         added at the end. Reads nothing beyond the pixels that count.
  void (*weight_gradient)(const PlaneGradient& call);
  /// Reads and writes nothing beyond the end of a row.
  void (*copy_rows)(const PlaneRows& rows);
  /// The gradient of max_pool2: dy goes to the first largest value of its window (to the last NaN where there
  /// are some), the others of the 2·height × 2·width values get 0. dx is laid out like `in`.
  void (*max_pool2_gradient)(const float* in, int64_t in_row, const float* dy, int64_t dy_row, float* dx,
                             int64_t height, int64_t width);
  /// Σ x[i], i < count, in 16 sums by i mod 16 that are added by halves: the same bits at every level.
  float (*total)(const float* x, int64_t count);
  /// Cost: 2·images·experts·values flop; kernels are read once for all images.
  void (*merge)(const PlaneMerge& call);
};

extern const PlaneTable plane_conv_ref;
extern const PlaneTable plane_conv_avx2;
extern const PlaneTable plane_conv_avx512;

}  // namespace gw::kernels
