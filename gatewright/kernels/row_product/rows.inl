// Body of every level: 16 sums beside each other as plain arrays, which the compiler turns into vectors.
// Included inside the anonymous namespace.
constexpr int64_t kLanes = 16;

inline float sum_of(float* lanes) {
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

// N neighbouring answers of one row: the loads of x serve all of them, and their chains of sums overlap.
template <int64_t N>
inline void answers(const float* x, int64_t in, const float* weight, float* y) {
  float sums[N][kLanes] = {};
  const int64_t whole = in / kLanes * kLanes;
  for (int64_t k = 0; k < whole; k += kLanes) {
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t j = 0; j < kLanes; ++j)
        sums[n][j] = __builtin_fmaf(x[k + j], weight[n * in + k + j], sums[n][j]);
    }
  }
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t j = 0; whole + j < in; ++j)
      sums[n][j] = __builtin_fmaf(x[whole + j], weight[n * in + whole + j], sums[n][j]);
    y[n] = sum_of(sums[n]);
  }
}

void run(const float* x, int64_t rows, int64_t in, const float* weight, const float* bias, int64_t out,
         float* y) {
  constexpr int64_t kAtOnce = 4;
  for (int64_t r = 0; r < rows; ++r, x += in, y += out) {
    int64_t o = 0;
    for (; o + kAtOnce <= out; o += kAtOnce) answers<kAtOnce>(x, in, weight + o * in, y + o);
    for (; o < out; ++o) answers<1>(x, in, weight + o * in, y + o);
    for (o = 0; bias != nullptr && o < out; ++o) y[o] += bias[o];
  }
}
