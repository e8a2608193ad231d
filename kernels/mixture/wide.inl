// Bodies of the vector levels, written once with the compiler's vector types. Included inside the anonymous namespace of avx2.cpp and
// avx512.cpp after each has defined kLanes, which divides kMixtureLanes.

typedef double Vec __attribute__((vector_size(kLanes * 8), aligned(8), may_alias));
typedef int64_t Int __attribute__((vector_size(kLanes * 8), aligned(8), may_alias));
typedef uint64_t Bits __attribute__((vector_size(kLanes * 8), aligned(8), may_alias));  // may wrap

inline Vec load(const double* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(double* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec all(double value) { return Vec{} + value; }
inline Vec choose(Int mask, Vec yes, Vec no) { return (Vec)((mask & (Int)yes) | (~mask & (Int)no)); }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// As a tree: a chain of eight additions for each of two hundred sums per block would cost as much as a tenth of the work.
inline double total_of(Vec v) {
  double part[kLanes];
  store(part, v);
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t lane = 0; lane < half; ++lane) part[lane] += part[lane + half];
  }
  return part[0];
}

// e^x for x <= 0; 0 below -708, where the result would leave the normal numbers (and for -infinity).
// x = n·ln 2 + r with |r| <= ln 2 / 2, ln 2 in two pieces so that r is exact; the Taylor series to r^13 errs by less than 1e-17.
// Adding 1.5·2^52 rounds to an integer and leaves it in the low bits: AVX2 has no conversion of doubles to 64-bit integers.
inline Vec exp_of(Vec x) {
  constexpr double kShift = 0x1.8p52, kLog2e = 0x1.71547652b82fep0, kHigh = 0x1.62e42fefa0000p-1, kLow = 0x1.cf79abc9e3b39p-40;
  const Vec shifted = x * kLog2e + kShift;
  const Vec n = shifted - kShift;
  const Vec r = (x - n * kHigh) - n * kLow;
  Vec p = all(1.0 / 6227020800);
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const Vec power = (Vec)(((Bits)shifted << 52) + 0x3ff0000000000000);
  return choose(x >= -708.0, p * power, Vec{});
}

// log x for normal x >= 1. x = 2^n·m with m in [sqrt ½, sqrt 2); log m = 2 atanh(f), f = (m-1)/(m+1), |f| <= 0.172: terms to f^21.
inline Vec log_of(Vec x) {
  constexpr double kSqrt2 = 0x1.6a09e667f3bcdp0, kLog2 = 0x1.62e42fefa39efp-1, kShift = 0x1p52;
  const Int exponent = (Int)x >> 52;
  Vec m = (Vec)(((Int)x & 0x000fffffffffffff) | 0x3ff0000000000000);
  Vec n = (Vec)(exponent | 0x4330000000000000) - (kShift + 1023);  // an integer below 2^52 becomes a double
  const Int high = m > kSqrt2;
  m = choose(high, m * 0.5, m);
  n = choose(high, n + 1.0, n);
  const Vec f = (m - 1.0) / (m + 1.0), s = f * f;
  Vec p = all(2.0 / 21);
  p = p * s + 2.0 / 19;
  p = p * s + 2.0 / 17;
  p = p * s + 2.0 / 15;
  p = p * s + 2.0 / 13;
  p = p * s + 2.0 / 11;
  p = p * s + 2.0 / 9;
  p = p * s + 2.0 / 7;
  p = p * s + 2.0 / 5;
  p = p * s + 2.0 / 3;
  p = p * s + 2.0;
  return n * kLog2 + p * f;
}

void linear(const double* const* columns, int64_t count, int64_t rows, double bias, const double* coefficient, double* out) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    Vec sum = all(bias);
    for (int64_t j = 0; j < count; ++j) sum += coefficient[j] * load(columns[j] + r);
    store(out + r, sum);
  }
}

void gaussian(const double* y, int64_t rows, double constant, double inverse_scale, double* out) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    const Vec standard = (load(y + r) - load(out + r)) * inverse_scale;
    store(out + r, larger(constant - 0.5 * standard * standard, all(-1e300)));
  }
}

double posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight, int64_t rows) {
  Vec total{};
  for (int64_t r = 0; r < rows; r += kLanes) {
    Vec top_score = load(score + r), top_joint = top_score + load(joint + r);
    for (int64_t k = 1; k < experts; ++k) {
      const Vec s = load(score + k * stride + r);
      top_score = larger(s, top_score);
      top_joint = larger(s + load(joint + k * stride + r), top_joint);
    }
    Vec sum_score{}, sum_joint{};
    for (int64_t k = 0; k < experts; ++k) {
      const Vec s = load(score + k * stride + r);
      const Vec prior = exp_of(s - top_score), post = exp_of(s + load(joint + k * stride + r) - top_joint);
      sum_score += prior;
      sum_joint += post;
      store(score + k * stride + r, prior);
      store(joint + k * stride + r, post);
    }
    const Vec w = load(weight + r), per_score = 1.0 / sum_score, per_joint = w / sum_joint;
    for (int64_t k = 0; k < experts; ++k) {
      store(score + k * stride + r, load(score + k * stride + r) * per_score);
      store(joint + k * stride + r, load(joint + k * stride + r) * per_joint);
    }
    total += w * (top_joint - top_score + log_of(sum_joint) - log_of(sum_score));
  }
  return total_of(total);
}

void residual(const double* posterior, const double* weight, const double* probability, int64_t rows, double* out) {
  for (int64_t r = 0; r < rows; r += kLanes) store(out + r, load(posterior + r) - load(weight + r) * load(probability + r));
}

void information(const double* weight, const double* probability, const double* other, int64_t rows, double* out) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    const Vec p = load(probability + r), factor = other == nullptr ? 1.0 - p : -load(other + r);
    store(out + r, load(weight + r) * p * factor);
  }
}

void sums(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* sum) {
  for (int64_t j = 0; j < count; ++j) {
    Vec even{}, odd{};  // two chains: an addition takes four cycles
    int64_t r = 0;
    for (; r + 2 * kLanes <= rows; r += 2 * kLanes) {
      even += load(weight + r) * load(columns[j] + r);
      odd += load(weight + r + kLanes) * load(columns[j] + r + kLanes);
    }
    for (; r < rows; r += kLanes) even += load(weight + r) * load(columns[j] + r);
    sum[j] += total_of(even + odd);
  }
}

// Products of R columns with C others: R·C sums stay in registers while R + C columns are read.
template <int R, int C>
void tile(const double* weight, const double* const* left, const double* const* right, int64_t rows, double (*sum)[4]) {
  Vec part[R][C] = {};
  for (int64_t r = 0; r < rows; r += kLanes) {
    const Vec w = load(weight + r);
    Vec b[C];
    for (int j = 0; j < C; ++j) b[j] = load(right[j] + r);
    for (int i = 0; i < R; ++i) {
      const Vec a = w * load(left[i] + r);
      for (int j = 0; j < C; ++j) part[i][j] += a * b[j];
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < C; ++j) sum[i][j] = total_of(part[i][j]);
  }
}

using TileFunction = void (*)(const double*, const double* const*, const double* const*, int64_t, double (*)[4]);
constexpr TileFunction kTiles[4][4] = {{tile<1, 1>, tile<1, 2>, tile<1, 3>, tile<1, 4>},
                                       {tile<2, 1>, tile<2, 2>, tile<2, 3>, tile<2, 4>},
                                       {tile<3, 1>, tile<3, 2>, tile<3, 3>, tile<3, 4>},
                                       {tile<4, 1>, tile<4, 2>, tile<4, 3>, tile<4, 4>}};

void moments(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* moment) {
  for (int64_t i0 = 0; i0 < count; i0 += 4) {
    for (int64_t j0 = 0; j0 <= i0; j0 += 4) {
      const int64_t height = count - i0 < 4 ? count - i0 : 4, width = count - j0 < 4 ? count - j0 : 4;
      double sum[4][4];
      kTiles[height - 1][width - 1](weight, columns + i0, columns + j0, rows, sum);
      for (int64_t i = i0; i < i0 + height; ++i) {
        for (int64_t j = j0; j < j0 + width && j <= i; ++j) moment[i * (i + 1) / 2 + j] += sum[i - i0][j - j0];
      }
    }
  }
}
