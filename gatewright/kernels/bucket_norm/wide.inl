// Bodies of the vector levels, written once. Included inside the anonymous namespace of avx2.cpp and
// avx512.cpp after each has defined: kLanes, Vec (a vector of floats), Full and Tail (all lanes, the first
// few), tail_of(count), Bits (one per lane), load(p, Full | Tail) (0 elsewhere), store(p, v, Full | Tail),
// sub, add, fma(a, b, c) = a·b + c, keep(v, bits), positive_or_nan(v), load_bits(p, Full | Tail),
// store_bits(p, bits, Full | Tail).
// Whole vectors have their own path: masked stores cost tens of operations on some processors (vmaskmovps on
// Zen).

template <class F>
inline void over_channels(int64_t channels, F body) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) body(c, Full{});
  if (c < channels) body(c, tail_of(channels - c));
}

// Rows taken together while the sums of one vector of channels stay in registers: sums are then loaded and
// stored once per 8 rows, and the memory is still walked in order. Each sum still goes down the rows one by
// one.
constexpr int64_t kRows = 8;

template <int64_t R>
void accumulate_rows(const float* x, int64_t channels, const float* shift, float* sum, float* square) {
  over_channels(channels, [=](int64_t c, auto lanes) {
    const Vec origin = load(shift + c, lanes);
    Vec s = load(sum + c, lanes), q = load(square + c, lanes);
    for (int64_t r = 0; r < R; ++r) {
      const Vec d = sub(load(x + r * channels + c, lanes), origin);
      s = add(s, d);
      q = fma(d, d, q);
    }
    store(sum + c, s, lanes);
    store(square + c, q, lanes);
  });
}

void accumulate(const float* x, int64_t rows, int64_t channels, const float* shift, float* sum,
                float* square) {
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    accumulate_rows<kRows>(x + r * channels, channels, shift, sum, square);
  for (; r < rows; ++r) accumulate_rows<1>(x + r * channels, channels, shift, sum, square);
}

void apply(const float* x, const float* residual, int64_t rows, int64_t channels, const float* mean,
           const float* scale, const float* bias, bool relu, float* y, uint8_t* mask) {
  const int64_t mask_bytes = bucket_norm_mask_bytes(channels);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = r * channels;
    over_channels(channels, [=](int64_t c, auto lanes) {
      Vec v = fma(sub(load(x + row + c, lanes), load(mean + c, lanes)), load(scale + c, lanes),
                  load(bias + c, lanes));
      if (residual != nullptr) v = add(v, load(residual + row + c, lanes));
      const Bits passes = positive_or_nan(v);
      if (relu) v = keep(v, passes);
      store(y + row + c, v, lanes);
      if (mask != nullptr) store_bits(mask + r * mask_bytes + c / 8, passes, lanes);
    });
  }
}

template <int64_t R>
void reduce_rows(const float* gradient, const float* x, const uint8_t* mask, int64_t channels,
                 const float* mean, float* sum, float* product) {
  const int64_t mask_bytes = bucket_norm_mask_bytes(channels);
  over_channels(channels, [=](int64_t c, auto lanes) {
    const Vec m = load(mean + c, lanes);
    Vec s = load(sum + c, lanes), p = load(product + c, lanes);
    for (int64_t r = 0; r < R; ++r) {
      Vec g = load(gradient + r * channels + c, lanes);
      if (mask != nullptr) g = keep(g, load_bits(mask + r * mask_bytes + c / 8, lanes));
      s = add(s, g);
      p = fma(g, sub(load(x + r * channels + c, lanes), m), p);
    }
    store(sum + c, s, lanes);
    store(product + c, p, lanes);
  });
}

void reduce_gradient(const float* gradient, const float* x, const uint8_t* mask, int64_t rows,
                     int64_t channels, const float* mean, float* sum, float* product) {
  const int64_t mask_bytes = mask != nullptr ? bucket_norm_mask_bytes(channels) : 0;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    reduce_rows<kRows>(gradient + r * channels, x + r * channels, mask + r * mask_bytes, channels, mean, sum,
                       product);
  }
  for (; r < rows; ++r)
    reduce_rows<1>(gradient + r * channels, x + r * channels, mask + r * mask_bytes, channels, mean, sum,
                   product);
}

void input_gradient(const float* gradient, const float* x, const uint8_t* mask, int64_t rows,
                    int64_t channels, const float* mean, const float* a, const float* b, const float* c,
                    float* dx, float* dresidual) {
  const int64_t mask_bytes = bucket_norm_mask_bytes(channels);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = r * channels;
    over_channels(channels, [=](int64_t k, auto lanes) {
      Vec g = load(gradient + row + k, lanes);
      if (mask != nullptr) g = keep(g, load_bits(mask + r * mask_bytes + k / 8, lanes));
      if (dresidual != nullptr) store(dresidual + row + k, g, lanes);
      if (dx == nullptr) return;
      Vec offset{};
      if (x != nullptr)
        offset =
            fma(load(b + k, lanes), sub(load(x + row + k, lanes), load(mean + k, lanes)), load(c + k, lanes));
      store(dx + row + k, fma(load(a + k, lanes), g, offset), lanes);
    });
  }
}

void origin(const float* x, int64_t, int64_t channels, float* shift) {
  over_channels(channels, [=](int64_t c, auto lanes) { store(shift + c, load(x + c, lanes), lanes); });
}
