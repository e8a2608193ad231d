// The level that is obviously right; f64 runs here only.
#include "gatewright/kernels/bucket_norm/bucket_norm.h"

namespace gw::kernels {
namespace {

bool bit(const uint8_t* mask, int64_t c) { return mask == nullptr || (mask[c / 8] >> (c % 8) & 1) != 0; }

template <class T>
void accumulate(const T* x, int64_t rows, int64_t channels, const T* shift, T* sum, T* square) {
  for (int64_t r = 0; r < rows; ++r, x += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const T d = x[c] - shift[c];
      sum[c] += d;
      square[c] += d * d;
    }
  }
}

template <class T>
void apply(const T* x, const T* residual, int64_t rows, int64_t channels, const T* mean, const T* scale,
           const T* bias, bool relu, T* y, uint8_t* mask) {
  const int64_t mask_bytes = bucket_norm_mask_bytes(channels);
  for (int64_t r = 0; r < rows; ++r) {
    if (mask != nullptr) {
      for (int64_t b = 0; b < mask_bytes; ++b) mask[r * mask_bytes + b] = 0;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t i = r * channels + c;
      T value = (x[i] - mean[c]) * scale[c] + bias[c];
      if (residual != nullptr) value += residual[i];
      const bool passes = !(value <= 0);
      y[i] = passes || !relu ? value : T(0);
      if (mask != nullptr && passes) mask[r * mask_bytes + c / 8] |= static_cast<uint8_t>(1u << (c % 8));
    }
  }
}

template <class T>
void reduce_gradient(const T* gradient, const T* x, const uint8_t* mask, int64_t rows, int64_t channels,
                     const T* mean, T* sum, T* product) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t i = r * channels + c;
      const T g = bit(mask, c) ? gradient[i] : T(0);
      sum[c] += g;
      product[c] += g * (x[i] - mean[c]);
    }
    if (mask != nullptr) mask += bucket_norm_mask_bytes(channels);
  }
}

template <class T>
void input_gradient(const T* gradient, const T* x, const uint8_t* mask, int64_t rows, int64_t channels,
                    const T* mean, const T* a, const T* b, const T* c, T* dx, T* dresidual) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < channels; ++k) {
      const int64_t i = r * channels + k;
      const T g = bit(mask, k) ? gradient[i] : T(0);
      if (dx != nullptr) dx[i] = x != nullptr ? a[k] * g + (b[k] * (x[i] - mean[k]) + c[k]) : a[k] * g;
      if (dresidual != nullptr) dresidual[i] = g;
    }
    if (mask != nullptr) mask += bucket_norm_mask_bytes(channels);
  }
}

template <class T>
void origin(const T* x, int64_t, int64_t channels, T* shift) {
  for (int64_t c = 0; c < channels; ++c) shift[c] = x[c];
}

namespace planes {

template <class T>
void origin(const T* x, int64_t rows, int64_t channels, T* shift) {
  for (int64_t c = 0; c < channels; ++c) {
    T sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += *x++;
    shift[c] = sum / static_cast<T>(rows);
  }
}

// A plane is a map of one channel.
template <class T>
void accumulate(const T* x, int64_t rows, int64_t channels, const T* shift, T* sum, T* square) {
  for (int64_t c = 0; c < channels; ++c, x += rows)
    kernels::accumulate(x, rows, 1, shift + c, sum + c, square + c);
}

template <class T>
void apply(const T* x, const T* residual, int64_t rows, int64_t channels, const T* mean, const T* scale,
           const T* bias, bool relu, T* y, uint8_t* mask) {
  for (int64_t i = 0; mask != nullptr && i < channels * bucket_norm_mask_bytes(rows); ++i) mask[i] = 0;
  for (int64_t i = 0; i < channels * rows; ++i) {
    const int64_t c = i / rows, r = i % rows;
    T value = (x[i] - mean[c]) * scale[c] + bias[c];
    if (residual != nullptr) value += residual[i];
    const bool passes = !(value <= 0);
    y[i] = passes || !relu ? value : T(0);
    if (mask != nullptr && passes)
      mask[c * bucket_norm_mask_bytes(rows) + r / 8] |= static_cast<uint8_t>(1u << (r % 8));
  }
}

template <class T>
T masked(const T* gradient, const uint8_t* mask, int64_t rows, int64_t i) {
  const uint8_t* of_plane = mask == nullptr ? nullptr : mask + i / rows * bucket_norm_mask_bytes(rows);
  return bit(of_plane, i % rows) ? gradient[i] : T(0);
}

template <class T>
void reduce_gradient(const T* gradient, const T* x, const uint8_t* mask, int64_t rows, int64_t channels,
                     const T* mean, T* sum, T* product) {
  for (int64_t i = 0; i < channels * rows; ++i) {
    const T g = masked(gradient, mask, rows, i);
    sum[i / rows] += g;
    product[i / rows] += g * (x[i] - mean[i / rows]);
  }
}

template <class T>
void input_gradient(const T* gradient, const T* x, const uint8_t* mask, int64_t rows, int64_t channels,
                    const T* mean, const T* a, const T* b, const T* c, T* dx, T* dresidual) {
  for (int64_t i = 0; i < channels * rows; ++i) {
    const int64_t k = i / rows;
    const T g = masked(gradient, mask, rows, i);
    if (dx != nullptr) dx[i] = x != nullptr ? a[k] * g + (b[k] * (x[i] - mean[k]) + c[k]) : a[k] * g;
    if (dresidual != nullptr) dresidual[i] = g;
  }
}

template <class T>
const BucketNormTable<T> table{origin<T>,          accumulate<T>,     apply<T>,
                               reduce_gradient<T>, input_gradient<T>, nullptr};

}  // namespace planes
}  // namespace

const BucketNormTable<float> bucket_norm_ref{origin<float>,         accumulate<float>,
                                             apply<float>,          reduce_gradient<float>,
                                             input_gradient<float>, &planes::table<float>};
const BucketNormTable<double> bucket_norm_ref_f64{origin<double>,         accumulate<double>,
                                                  apply<double>,          reduce_gradient<double>,
                                                  input_gradient<double>, &planes::table<double>};

}  // namespace gw::kernels
