#pragma once
// Batch normalisation over rows of channels, with the residual addition and the ReLU in the same pass.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

/// One level. All arrays are dense: a row is `channels` values, rows follow each other. Statistics are
/// [channels].
/// The ReLU mask has `bucket_norm_mask_bytes(channels)` bytes per row; bit c % 8 of byte c / 8 belongs to
/// channel c.
/// Per-channel sums go down the rows one by one, so a call cut in two at any row gives the same bits.
///
/// `planes` holds the same functions for planes: `channels` planes of `rows` values follow each other, mask
/// bytes are per plane (`bucket_norm_mask_bytes(rows)`), and lanes keep sums of their own, added at the end
/// of a call. Maps of few channels fill the lanes that way.
template <class T>
struct BucketNormTable {
  /// A shift for `accumulate` that is near the values: the first row; the mean of each plane.
  void (*origin)(const T* x, int64_t rows, int64_t channels, T* shift);

  /// Statistics of a chunk of rows.
  /// Math:   sum[c] += Σ (x - shift), square[c] += Σ (x - shift)². With shift a row of the chunk of n rows,
  ///         the variance square/n - (sum/n)² loses at most a factor n + 1 of the precision of T: (shift -
  ///         mean)² ≤ n · variance.
  /// Cost:   reads sizeof(T)·rows·channels bytes.
  void (*accumulate)(const T* x, int64_t rows, int64_t channels, const T* shift, T* sum, T* square);

  /// Normalises rows.
  /// Math:   y = relu?((x - mean)·scale + bias + residual?); the mask bit is !(y <= 0), so that NaN passes as
  ///         in PyTorch.
  /// Cost:   reads 4 (8 with residual) bytes, writes 4 bytes per f32 value (+ 4 read to own the line) and 1/8
  ///         of mask.
  /// `residual` and `mask` may be null.
  void (*apply)(const T* x, const T* residual, int64_t rows, int64_t channels, const T* mean, const T* scale,
                const T* bias, bool relu, T* y, uint8_t* mask);

  /// The two sums of the backward pass.
  /// Math:   g = mask ? gradient : 0; sum[c] += Σ g, product[c] += Σ g·(x - mean).
  /// Cost:   reads 8 bytes per f32 value and 1/8 of mask. `mask` may be null (no ReLU).
  void (*reduce_gradient)(const T* gradient, const T* x, const uint8_t* mask, int64_t rows, int64_t channels,
                          const T* mean, T* sum, T* product);

  /// Gradients of the inputs.
  /// Math:   dx = a·g + b·(x - mean) + c, dresidual = g, with [channels] coefficients a, b, c.
  /// Cost:   reads 8 bytes, writes 4 (8) per f32 value. `x` null: dx = a·g (fixed statistics). `mask`, `dx`,
  ///         `dresidual` may be null.
  void (*input_gradient)(const T* gradient, const T* x, const uint8_t* mask, int64_t rows, int64_t channels,
                         const T* mean, const T* a, const T* b, const T* c, T* dx, T* dresidual);

  const BucketNormTable* planes;  ///< null in the table of planes itself
};

// static: an inline function compiled for AVX-512 could be the copy that the linker keeps for every caller
static constexpr int64_t bucket_norm_mask_bytes(int64_t channels) { return (channels + 7) / 8; }

extern const BucketNormTable<float> bucket_norm_ref;
extern const BucketNormTable<double> bucket_norm_ref_f64;
extern const BucketNormTable<float> bucket_norm_avx2;
extern const BucketNormTable<float> bucket_norm_avx512;

}  // namespace gw::kernels
