// Bodies of the vector levels, written once with the compiler's vector types. Included inside the anonymous
// namespace of avx2.cpp and avx512.cpp after each has defined kLanes, which divides kEmLanes.

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

// e^x for x <= 16, and as exact up to 700; 0 below -708, where the result would leave the normal numbers (and
// for -infinity).
// x = n·ln 2 + r with |r| <= ln 2 / 2, ln 2 in two pieces so that r is exact; the Taylor series to r^13 errs
// by less than 1e-17.
// Adding 1.5·2^52 rounds to an integer and leaves it in the low bits: AVX2 has no conversion of doubles to
// 64-bit integers.
#if defined(__AVX512F__)
// Here a sixteenth of the way comes from two registers by one permutation: x = n·ln 2 / 16 + r, |r| <= h = ln
// 2 / 32. The series to r^6, and for r^7 the polynomial of degree 5 that is nearest to it (7/4 h² r^5 - 7/8
// h^4 r³ + 7/64 h^6 r): errs by 7e-18; 16 operations, not 24.
inline Vec exp_of(Vec x) {
  constexpr double kShift = 0x1.8p52, kPer = 0x1.71547652b82fep4, kHigh = 0x1.62e42fefa0000p-5,
                   kLow = 0x1.cf79abc9e3b39p-44;
  const Vec low{0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
                0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0};
  const Vec high{0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
                 0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0};
  const Vec shifted = x * kPer + kShift;
  const Vec n = shifted - kShift;
  const Vec r = (x - n * kHigh) - n * kLow;
  constexpr double h2 = (kHigh / 2) * (kHigh / 2), kSeventh = h2 / 5040;
  Vec p = all(1.0 / 720);
  p = p * r + (1.0 / 120 + 7.0 / 4 * kSeventh);
  p = p * r + 1.0 / 24;
  p = p * r + (1.0 / 6 - 7.0 / 8 * kSeventh * h2);
  p = p * r + 0.5;
  p = p * r + (1.0 + 7.0 / 64 * kSeventh * h2 * h2);
  const Vec start = __builtin_shuffle(low, high, (Int)shifted);  // the low four bits choose
  const Vec power = (Vec)((Bits)start + (((Bits)shifted & ~uint64_t{15}) << 48));
  return choose(x >= -708.0, power + power * (p * r), Vec{});
}
#else
inline Vec exp_of(Vec x) {
  constexpr double kShift = 0x1.8p52, kLog2e = 0x1.71547652b82fep0, kHigh = 0x1.62e42fefa0000p-1,
                   kLow = 0x1.cf79abc9e3b39p-40;
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

// log x for normal x >= 1. x = 2^n·m with m in [sqrt ½, sqrt 2); log m = 2 atanh(f), f = (m-1)/(m+1), |f| <=
// 0.172: terms to f^21.
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

// f(Number<0>) … f(Number<N - 1>): indices that are constants from the start, so that arrays of sums never
// see memory.
template <int I>
struct Number {
  static constexpr int value = I;
};
template <int N, int I = 0, class F>
inline __attribute__((always_inline)) void each(F f) {
  if constexpr (I < N) {
    f(Number<I>{});
    each<N, I + 1>(f);
  }
}

// The number of columns is known to the compiler: coefficients stay in registers, and two vectors of rows
// hide the additions' four cycles.
template <int C>
void linear_of(const double* const* columns, int64_t rows, double bias, const double* coefficient,
               double* out) {
  int64_t r = 0;
  for (; r + 2 * kLanes <= rows; r += 2 * kLanes) {
    Vec first = all(bias), second = first;
    each<C>([&](auto j) {
      first += coefficient[j.value] * load(columns[j.value] + r);
      second += coefficient[j.value] * load(columns[j.value] + r + kLanes);
    });
    store(out + r, first), store(out + r + kLanes, second);
  }
  for (; r < rows; r += kLanes) {
    Vec sum = all(bias);
    each<C>([&](auto j) { sum += coefficient[j.value] * load(columns[j.value] + r); });
    store(out + r, sum);
  }
}

void linear(const double* const* columns, int64_t count, int64_t rows, double bias, const double* coefficient,
            double* out) {
  using Of = void (*)(const double* const*, int64_t, double, const double*, double*);
  static constexpr Of kOf[] = {linear_of<0>, linear_of<1>, linear_of<2>, linear_of<3>, linear_of<4>,
                               linear_of<5>, linear_of<6>, linear_of<7>, linear_of<8>};
  if (count <= 8) return kOf[count](columns, rows, bias, coefficient, out);
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
  const Vec inverse = 1.0 / (sum_score * sum_joint), per_score = inverse * sum_joint,
            per_joint = weight * (inverse * sum_score);
  for (int64_t k = 0; k < experts; ++k) {
    store(score + k * stride, load(score + k * stride) * per_score);
    store(joint + k * stride, load(joint + k * stride) * per_joint);
  }
  return {top_joint - top_score, sum_score, sum_joint};
}

inline bool every(Int mask) {
  int64_t all_set = -1;
  for (int64_t lane = 0; lane < kLanes; ++lane) all_set &= mask[lane];
  return all_set != 0;
}

inline bool weights_are_0_or_1(const double* weight, int64_t rows) {
  Int plain = Int{} - 1;
  for (int64_t r = 0; r < rows; r += kLanes) plain &= (load(weight + r) == 0.0) | (load(weight + r) == 1.0);
  return every(plain);
}

// The same where the last score is 0 and none is above kPlainScore: its exponential is 1 and those of the
// others need no shift.
constexpr double kPlainScore = 16;
constexpr int64_t kPlainExperts = 400;
inline RowSums normalise_against_last(double* score, double* joint, int64_t stride, int64_t experts,
                                      Vec weight) {
  const int64_t last = experts - 1;
  Vec top_joint = load(joint + last * stride);
  for (int64_t k = 0; k < last; ++k)
    top_joint = larger(load(score + k * stride) + load(joint + k * stride), top_joint);
  const Vec reference = exp_of(load(joint + last * stride) - top_joint);
  Vec sum_score = all(1), sum_joint = reference;
  for (int64_t k = 0; k < last; ++k) {
    const Vec s = load(score + k * stride);
    const Vec prior = exp_of(s), post = exp_of(s + load(joint + k * stride) - top_joint);
    sum_score += prior;
    sum_joint += post;
    store(score + k * stride, prior);
    store(joint + k * stride, post);
  }
  const Vec inverse = 1.0 / (sum_score * sum_joint), per_score = inverse * sum_joint,
            per_joint = weight * (inverse * sum_score);
  for (int64_t k = 0; k < last; ++k) {
    store(score + k * stride, load(score + k * stride) * per_score);
    store(joint + k * stride, load(joint + k * stride) * per_joint);
  }
  store(score + last * stride, per_score);
  store(joint + last * stride, reference * per_joint);
  return {top_joint, sum_score, sum_joint};
}

// Whether rows may be normalised against the last expert. Decided for 32 vectors at once: one look at the
// scores, no branch in the loop.
inline bool last_is_plain_reference(const double* score, int64_t stride, int64_t experts, int64_t rows) {
  Int plain = Int{} - 1;
  for (int64_t r = 0; r < rows; r += kLanes) plain &= load(score + (experts - 1) * stride + r) == 0.0;
  for (int64_t k = 0; k + 1 < experts; ++k) {
    for (int64_t r = 0; r < rows; r += kLanes) plain &= load(score + k * stride + r) <= kPlainScore;
  }
  return every(plain);
}

// Where rows count once, the sum of 32 logarithms is the logarithm of a product: sums of experts lie in [1,
// experts], and experts^32 stays finite up to 4e9 of them. Against the last expert they lie in [1,
// experts·e^16]: e^512 of the e^709 is used, which leaves room for 400 experts.
double posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight,
                 int64_t rows) {
  constexpr int64_t kProducts = 32 * kLanes;
  Vec total{};
  for (int64_t begin = 0; begin < rows; begin += kProducts) {
    const int64_t end = begin + kProducts < rows ? begin + kProducts : rows;
    const bool plain = weights_are_0_or_1(weight + begin, end - begin);
    const bool against_last =
        experts <= kPlainExperts && last_is_plain_reference(score + begin, stride, experts, end - begin);
    Vec product_score = all(1), product_joint = all(1);
    for (int64_t r = begin; r < end; r += kLanes) {
      const Vec w = load(weight + r);
      const RowSums sums = against_last ? normalise_against_last(score + r, joint + r, stride, experts, w)
                                        : normalise(score + r, joint + r, stride, experts, w);
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

void residual(const double* posterior, const double* weight, const double* probability, int64_t rows,
              double* out) {
  for (int64_t r = 0; r < rows; r += kLanes)
    store(out + r, load(posterior + r) - load(weight + r) * load(probability + r));
}

void information(const double* weight, const double* probability, const double* other, int64_t rows,
                 double* out) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    const Vec p = load(probability + r), factor = other == nullptr ? 1.0 - p : -load(other + r);
    store(out + r, load(weight + r) * p * factor);
  }
}
