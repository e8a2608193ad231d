// The same for planes: a vector is neighbouring pixels of one channel. The including file gives, beyond what
// wide.inl asks for: broadcast, only(v, Full | Tail) (0 in the lanes beyond), sum_of_lanes.

namespace planes {

// Sums that do not wait for each other: an addition takes four cycles.
constexpr int kSums = 4;

/// body(pixel, which of kSums, Full | Tail) down a plane.
template <class F>
inline __attribute__((always_inline)) void over_plane(int64_t rows, F body) {
  int64_t r = 0;
  for (; r + kSums * kLanes <= rows; r += kSums * kLanes) {
#pragma GCC unroll 4
    for (int k = 0; k < kSums; ++k) body(r + k * kLanes, k, Full{});
  }
  for (; r + kLanes <= rows; r += kLanes) body(r, 0, Full{});
  if (r < rows) body(r, 1, tail_of(rows - r));
}

inline float sum_of(const Vec (&sums)[kSums]) {
  return sum_of_lanes(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

void origin(const float* x, int64_t rows, int64_t channels, float* shift) {
  for (int64_t c = 0; c < channels; ++c, x += rows) {
    Vec sums[kSums] = {};
    over_plane(
        rows, [&](int64_t r, int k, auto lanes)
                  __attribute__((always_inline)) { sums[k] = add(sums[k], load(x + r, lanes)); });
    shift[c] = sum_of(sums) / static_cast<float>(rows);
  }
}

void accumulate(const float* x, int64_t rows, int64_t channels, const float* shift, float* sum,
                float* square) {
  for (int64_t c = 0; c < channels; ++c, x += rows) {
    const Vec middle = broadcast(shift[c]);
    Vec sums[kSums] = {}, squares[kSums] = {};
    over_plane(
        rows, [&](int64_t r, int k, auto lanes) __attribute__((always_inline)) {
          const Vec d = only(sub(load(x + r, lanes), middle), lanes);
          sums[k] = add(sums[k], d);
          squares[k] = fma(d, d, squares[k]);
        });
    sum[c] += sum_of(sums);
    square[c] += sum_of(squares);
  }
}

void apply(const float* x, const float* residual, int64_t rows, int64_t channels, const float* mean,
           const float* scale, const float* bias, bool relu, float* y, uint8_t* mask) {
  for (int64_t c = 0; c < channels; ++c, x += rows, y += rows) {
    const Vec m = broadcast(mean[c]), factor = broadcast(scale[c]), offset = broadcast(bias[c]);
    over_plane(
        rows, [&](int64_t r, int, auto lanes) __attribute__((always_inline)) {
          Vec v = fma(sub(load(x + r, lanes), m), factor, offset);
          if (residual != nullptr) v = add(v, load(residual + r, lanes));
          const Bits passes = positive_or_nan(v);
          if (relu) v = keep(v, passes);
          store(y + r, v, lanes);
          if (mask != nullptr) store_bits(mask + r / 8, passes, lanes);
        });
    if (residual != nullptr) residual += rows;
    if (mask != nullptr) mask += bucket_norm_mask_bytes(rows);
  }
}

void reduce_gradient(const float* gradient, const float* x, const uint8_t* mask, int64_t rows,
                     int64_t channels, const float* mean, float* sum, float* product) {
  for (int64_t c = 0; c < channels; ++c, x += rows, gradient += rows) {
    const Vec m = broadcast(mean[c]);
    Vec sums[kSums] = {}, products[kSums] = {};
    over_plane(
        rows, [&](int64_t r, int k, auto lanes) __attribute__((always_inline)) {
          Vec g = load(gradient + r, lanes);
          if (mask != nullptr) g = keep(g, load_bits(mask + r / 8, lanes));
          sums[k] = add(sums[k], g);
          products[k] = fma(g, only(sub(load(x + r, lanes), m), lanes), products[k]);
        });
    sum[c] += sum_of(sums);
    product[c] += sum_of(products);
    if (mask != nullptr) mask += bucket_norm_mask_bytes(rows);
  }
}

void input_gradient(const float* gradient, const float* x, const uint8_t* mask, int64_t rows,
                    int64_t channels, const float* mean, const float* a, const float* b, const float* c,
                    float* dx, float* dresidual) {
  for (int64_t k = 0; k < channels; ++k) {
    const int64_t plane = k * rows;
    const Vec m = broadcast(mean[k]), factor = broadcast(a[k]), slope = broadcast(b[k]),
              constant = broadcast(c[k]);
    over_plane(
        rows, [&](int64_t r, int, auto lanes) __attribute__((always_inline)) {
          Vec g = load(gradient + plane + r, lanes);
          if (mask != nullptr) g = keep(g, load_bits(mask + r / 8, lanes));
          if (dresidual != nullptr) store(dresidual + plane + r, g, lanes);
          if (dx == nullptr) return;
          Vec offset{};
          if (x != nullptr) offset = fma(slope, sub(load(x + plane + r, lanes), m), constant);
          store(dx + plane + r, fma(factor, g, offset), lanes);
        });
    if (mask != nullptr) mask += bucket_norm_mask_bytes(rows);
  }
}

const BucketNormTable<float> table{origin, accumulate, apply, reduce_gradient, input_gradient, nullptr};

}  // namespace planes
