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

// As a tree of whole-vector steps: some two hundred sums per block would otherwise cost a tenth of the work.
inline double total_of(Vec v) {
#if defined(__AVX512F__)
  v += __builtin_shuffle(v, Int{4, 5, 6, 7, 0, 1, 2, 3});
  v += __builtin_shuffle(v, Int{2, 3, 0, 1, 6, 7, 4, 5});
  v += __builtin_shuffle(v, Int{1, 0, 3, 2, 5, 4, 7, 6});
#else
  v += __builtin_shuffle(v, Int{2, 3, 0, 1});
  v += __builtin_shuffle(v, Int{1, 0, 3, 2});
#endif
  return v[0];
}

// e^x for x <= 0; 0 below -708, where the result would leave the normal numbers (and for -infinity).
// x = n·ln 2 + r with |r| <= ln 2 / 2, ln 2 in two pieces so that r is exact; the Taylor series to r^13 errs by less than 1e-17.
// Adding 1.5·2^52 rounds to an integer and leaves it in the low bits: AVX2 has no conversion of doubles to 64-bit integers.
#if defined(__AVX512F__)
// Here a sixteenth of the way comes from two registers by one permutation: x = n·ln 2 / 16 + r, |r| <= ln 2 / 32, the series to r^7
// errs by 1e-18; 17 operations instead of 24.
inline Vec exp_of(Vec x) {
  constexpr double kShift = 0x1.8p52, kPer = 0x1.71547652b82fep4, kHigh = 0x1.62e42fefa0000p-5, kLow = 0x1.cf79abc9e3b39p-44;
  const Vec low{0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
                0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0};
  const Vec high{0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
                 0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0};
  const Vec shifted = x * kPer + kShift;
  const Vec n = shifted - kShift;
  const Vec r = (x - n * kHigh) - n * kLow;
  Vec p = all(1.0 / 5040);
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  const Vec start = __builtin_shuffle(low, high, (Int)shifted);  // the low four bits choose
  const Vec power = (Vec)((Bits)start + (((Bits)shifted & ~uint64_t{15}) << 48));
  return choose(x >= -708.0, power + power * (p * r), Vec{});
}
#else
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
#endif

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

// One vector of rows: probabilities and posteriors; the sums under the two logarithms are left to the caller.
struct RowSums {
  Vec shift, score, joint;
};

inline RowSums normalise(double* score, double* joint, int64_t stride, int64_t experts, Vec weight) {
  Vec top_score = load(score), top_joint = top_score + load(joint);
  for (int64_t k = 1; k < experts; ++k) {
    const Vec s = load(score + k * stride);
    top_score = larger(s, top_score);
    top_joint = larger(s + load(joint + k * stride), top_joint);
  }
  Vec sum_score{}, sum_joint{};
  for (int64_t k = 0; k < experts; ++k) {
    const Vec s = load(score + k * stride);
    const Vec prior = exp_of(s - top_score), post = exp_of(s + load(joint + k * stride) - top_joint);
    sum_score += prior;
    sum_joint += post;
    store(score + k * stride, prior);
    store(joint + k * stride, post);
  }
  const Vec inverse = 1.0 / (sum_score * sum_joint), per_score = inverse * sum_joint, per_joint = weight * (inverse * sum_score);
  for (int64_t k = 0; k < experts; ++k) {
    store(score + k * stride, load(score + k * stride) * per_score);
    store(joint + k * stride, load(joint + k * stride) * per_joint);
  }
  return {top_joint - top_score, sum_score, sum_joint};
}

inline bool weights_are_0_or_1(const double* weight, int64_t rows) {
  Int plain = Int{} - 1;
  for (int64_t r = 0; r < rows; r += kLanes) plain &= (load(weight + r) == 0.0) | (load(weight + r) == 1.0);
  int64_t all_plain = -1;
  for (int64_t lane = 0; lane < kLanes; ++lane) all_plain &= plain[lane];
  return all_plain != 0;
}

// Where rows count once, the sum of 32 logarithms is the logarithm of a product: sums of experts lie in [1, experts], and experts^32
// stays finite up to 4e9 of them.
double posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight, int64_t rows) {
  constexpr int64_t kProducts = 32 * kLanes;
  Vec total{};
  for (int64_t begin = 0; begin < rows; begin += kProducts) {
    const int64_t end = begin + kProducts < rows ? begin + kProducts : rows;
    const bool plain = weights_are_0_or_1(weight + begin, end - begin);
    Vec product_score = all(1), product_joint = all(1);
    for (int64_t r = begin; r < end; r += kLanes) {
      const Vec w = load(weight + r);
      const RowSums sums = normalise(score + r, joint + r, stride, experts, w);
      total += w * sums.shift;
      if (plain) {
        product_score *= choose(w > 0.0, sums.score, all(1));
        product_joint *= choose(w > 0.0, sums.joint, all(1));
      } else {
        total += w * (log_of(sums.joint) - log_of(sums.score));
      }
    }
    if (plain) total += log_of(product_joint) - log_of(product_score);
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

// C columns share the weights; two chains each, since an addition takes four cycles.
template <int C>
void add_sums(const double* weight, const double* const* columns, int64_t rows, double* sum) {
  Vec even[C] = {}, odd[C] = {};
  int64_t r = 0;
  for (; r + 2 * kLanes <= rows; r += 2 * kLanes) {
    const Vec first = load(weight + r), second = load(weight + r + kLanes);
    for (int j = 0; j < C; ++j) {
      even[j] += first * load(columns[j] + r);
      odd[j] += second * load(columns[j] + r + kLanes);
    }
  }
  for (; r < rows; r += kLanes) {
    for (int j = 0; j < C; ++j) even[j] += load(weight + r) * load(columns[j] + r);
  }
  for (int j = 0; j < C; ++j) sum[j] += total_of(even[j] + odd[j]);
}

void sums(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* sum) {
  int64_t j = 0;
  for (; j + 5 <= count; j += 5) add_sums<5>(weight, columns + j, rows, sum + j);
  for (; j + 3 <= count; j += 3) add_sums<3>(weight, columns + j, rows, sum + j);
  for (; j < count; ++j) add_sums<1>(weight, columns + j, rows, sum + j);
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

void moments_of_one(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* moment) {
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

// Several weights share each product of two columns: W·P sums stay in registers.
template <int W, int P>
void shared(const double* weights, int64_t stride, const double* const* left, const double* const* right, int64_t rows, double* moment,
            int64_t apart) {
  Vec part[W][P] = {};
  for (int64_t r = 0; r < rows; r += kLanes) {
    Vec product[P];
    for (int p = 0; p < P; ++p) product[p] = load(left[p] + r) * load(right[p] + r);
    for (int w = 0; w < W; ++w) {
      const Vec weight = load(weights + w * stride + r);
      for (int p = 0; p < P; ++p) part[w][p] += weight * product[p];
    }
  }
  for (int w = 0; w < W; ++w) {
    for (int p = 0; p < P; ++p) moment[w * apart + p] += total_of(part[w][p]);
  }
}

using SharedFunction = void (*)(const double*, int64_t, const double* const*, const double* const*, int64_t, double*, int64_t);
constexpr int kPairs = kLanes == 8 ? 6 : 3;  // 24 of 32 registers hold sums, or 12 of 16
constexpr SharedFunction kShared[2][6] = {{shared<3, 1>, shared<3, 2>, shared<3, 3>, shared<3, 4>, shared<3, 5>, shared<3, 6>},
                                          {shared<4, 1>, shared<4, 2>, shared<4, 3>, shared<4, 4>, shared<4, 5>, shared<4, 6>}};

void moments(const double* weights, int64_t stride, int64_t many, const double* const* columns, int64_t count, int64_t rows, double* moment,
             int64_t apart) {
  for (int64_t w = 0; w < many;) {
    // 6 = 3 + 3; 5 = 4 + 1; one or two weights alone have the tiles of columns
    const int64_t left = many - w, height = left == 3 || left == 6 ? 3 : left >= 4 ? 4 : 1;
    const double* of = weights + w * stride;
    double* to = moment + w * apart;
    w += height;
    if (height == 1) {
      moments_of_one(of, columns, count, rows, to);
      continue;
    }
    const double *a[kPairs], *b[kPairs];
    int64_t filled = 0, done = 0;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        a[filled] = columns[i], b[filled++] = columns[j];
        if (filled < kPairs && (i + 1 < count || j < i)) continue;
        kShared[height - 3][filled - 1](of, stride, a, b, rows, to + done, apart);
        done += filled, filled = 0;
      }
    }
  }
}
