// Body of every level, written once. Included inside the anonymous namespace of a level's file after it has
// defined kLanes, kVectors (vectors of sums of each of 3 rows that registers hold; kLanes·kVectors divides
// kAttendPad), Vector, load(const float*), load(const Bf16*), store, same(value), fma(a, b, c) = a·b + c,
// larger, smaller, transpose(Vector[kLanes]).
#include "gatewright/kernels/wide_math.inl"

constexpr int64_t kRows = 3;                      // whose sums lie in registers together
constexpr int64_t kKeyBlock = kLanes * kVectors;  // keys that are turned at once, and stay in the first cache
constexpr int64_t kValueBytes = 16 << 10;         // of the values that stay there for all rows
constexpr int64_t kSums = 16;                     // of the chances
static_assert(kAttendPad % kKeyBlock == 0);

/// A product's sides: left[r·left_stride + i] times right[i·right_stride + lane], summed over i < count.
template <class T>
struct Sides {
  const float* left;
  int64_t left_stride, count;
  const T* right;
  int64_t right_stride;
};

/// out[r·out_stride + lane] of R rows and W vectors, from what is there or from zero.
template <int64_t R, int64_t W, class T>
inline __attribute__((always_inline)) void product(const Sides<T>& s, int64_t lane, float* out,
                                                   int64_t out_stride, bool fresh) {
  Vector sums[R][W];
#pragma GCC unroll 16
  for (int64_t r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int64_t w = 0; w < W; ++w)
      sums[r][w] = fresh ? same(0) : load(out + r * out_stride + lane + w * kLanes);
  const T* right = s.right + lane;
  for (int64_t i = 0; i < s.count; ++i, right += s.right_stride) {
    Vector left[R];
#pragma GCC unroll 16
    for (int64_t r = 0; r < R; ++r) left[r] = same(s.left[r * s.left_stride + i]);
#pragma GCC unroll 16
    for (int64_t w = 0; w < W; ++w) {
      const Vector values = load(right + w * kLanes);
#pragma GCC unroll 16
      for (int64_t r = 0; r < R; ++r) sums[r][w] = fma(left[r], values, sums[r][w]);
    }
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int64_t w = 0; w < W; ++w) store(out + r * out_stride + lane + w * kLanes, sums[r][w]);
}

inline float value_of(const float* p) { return *p; }
inline float value_of(const Bf16* p) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(p->bits) << 16);
}

/// panel[i][j] = value i of key j < count, in squares that are turned in registers; zeros up to the next
/// vector.
template <class T>
inline void turn(const T* k, int64_t stride, int64_t count, int64_t width, float* panel) {
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      Vector square[kLanes];
      for (int64_t l = 0; l < kLanes; ++l) square[l] = load(k + (j + l) * stride + i);
      transpose(square);
      for (int64_t l = 0; l < kLanes; ++l) store(panel + (i + l) * kKeyBlock + j, square[l]);
    }
    for (; i < width; ++i)
      for (int64_t l = j; l < j + kLanes; ++l) panel[i * kKeyBlock + l] = value_of(k + l * stride + i);
  }
  const int64_t end = (count + kLanes - 1) / kLanes * kLanes;
  for (; j < end; ++j)
    for (int64_t i = 0; i < width; ++i)
      panel[i * kKeyBlock + j] = j < count ? value_of(k + j * stride + i) : 0.f;
}

template <class T>
void turn_all(const T* k, int64_t stride, int64_t count, int64_t width, float* to) {
  for (int64_t j = 0; j < count; j += kKeyBlock)
    turn(k + j * stride, stride, count - j < kKeyBlock ? count - j : kKeyBlock, width, to + j * width);
}

/// The keys that any of some rows sees.
struct Seen {
  int64_t first, last;
};
template <class T>
inline Seen seen_by(const AttendTile<T>& t, int64_t row, int64_t count) {
  Seen s{t.first[row], t.last[row]};
  for (int64_t r = row + 1; r < row + count; ++r) {
    s.first = t.first[r] < s.first ? t.first[r] : s.first;
    s.last = t.last[r] > s.last ? t.last[r] : s.last;
  }
  return s;
}

/// Scores of R rows with the keys of the panel, of which `count` are wanted.
template <int64_t R, class T>
inline void scores_of(const AttendTile<T>& t, int64_t row, const float* panel, int64_t count, float* out) {
  const Sides<float> s{t.q + row * t.width, t.width, t.width, panel, kKeyBlock};
  const int64_t stride = padded_keys(t.keys);
  if (count > kKeyBlock - kLanes) return product<R, kVectors>(s, 0, out, stride, true);
  for (int64_t lane = 0; lane < count; lane += kLanes) product<R, 1>(s, lane, out, stride, true);
}

/// By halves.
inline float total(const float (&sums)[kSums]) {
  float eight[8], four[4];
  for (int j = 0; j < 8; ++j) eight[j] = sums[j] + sums[j + 8];
  for (int j = 0; j < 4; ++j) four[j] = eight[j] + eight[j + 4];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

using Whole = int32_t __attribute__((vector_size(sizeof(Vector))));

/// exp_of() of each value, with the same bits.
template <class V>
inline V exp_lanes(V x) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return exp_of(x);
  } else {
    const V v = smaller(same(88.72283f), larger(same(-87.33654f), x));
    const V shifted = fma(v, same(1.44269504f), same(12582912.f)), n = shifted - same(12582912.f);
    const V r = fma(n, same(-1.42860677e-6f), fma(n, same(-0.693145752f), v));
    V p = fma(same(1.98756915e-4f), r, same(1.39819995e-3f));
    p = fma(p, r, same(8.33345191e-3f));
    p = fma(p, r, same(4.16657962e-2f));
    p = fma(p, r, same(0.166666655f));
    p = fma(p, r, same(0.5f));
    p = fma(p, r * r, r + same(1.f));
    const Whole whole = (Whole)shifted - 0x4b400000, half = whole >> 1;
    return p * (V)((half + 127) << 23) * (V)((whole - half + 127) << 23);
  }
}

/// The largest of some values of which there is one at least.
inline float largest(const float* s, int64_t n) {
  constexpr int64_t kApart = 4;  // comparisons that need not wait for one another
  Vector highest[kApart];
  for (auto& one : highest) one = same(s[0]);
  int64_t j = 0;
  for (; j + kApart * kLanes <= n; j += kApart * kLanes)
    for (int64_t w = 0; w < kApart; ++w) highest[w] = larger(highest[w], load(s + j + w * kLanes));
  float lanes[kLanes], most = s[0];
  store(lanes, larger(larger(highest[0], highest[1]), larger(highest[2], highest[3])));
  for (int64_t l = 0; l < kLanes; ++l) most = lanes[l] > most ? lanes[l] : most;
  for (; j < n; ++j) most = s[j] > most ? s[j] : most;
  return most;
}

/// p of a row in place of its scores, not divided by their sum; gives 1 / that sum. What it does not see of
/// the others' keys is zero then.
template <class T>
inline float chances(const AttendTile<T>& t, int64_t row, const Seen& seen) {
  float* const all = t.scores + row * padded_keys(t.keys) - t.from;
  float* const s = all + t.first[row];
  const int64_t n = t.last[row] - t.first[row], whole = n / kSums * kSums;
  const float score = largest(s, n), most = t.sink != nullptr && t.sink[row] > score ? t.sink[row] : score;
  Vector parts[kSums / kLanes];
  for (auto& part : parts) part = same(0);
  int64_t j = 0;
  for (; j < whole; j += kSums) {
#pragma GCC unroll 16
    for (int64_t w = 0; w < kSums / kLanes; ++w) {
      const Vector p = exp_lanes(load(s + j + w * kLanes) - same(most));
      store(s + j + w * kLanes, p), parts[w] = parts[w] + p;
    }
  }
  float sums[kSums];
  for (int64_t w = 0; w < kSums / kLanes; ++w) store(sums + w * kLanes, parts[w]);
  for (; j < n; ++j) s[j] = exp_of(s[j] - most), sums[j - whole] += s[j];
  for (j = seen.first; j < t.first[row]; ++j) all[j] = 0;
  for (j = t.last[row]; j < seen.last; ++j) all[j] = 0;
  return 1 / (total(sums) + (t.sink != nullptr ? exp_of(t.sink[row] - most) : 0.f));
}

/// y of R rows += Σ p·v over the keys [begin, end).
template <int64_t R, class T>
inline void values_of(const AttendTile<T>& t, int64_t row, int64_t begin, int64_t end) {
  constexpr int64_t kAtOnce = R == 1 ? 2 * kVectors : kVectors;  // the time of a step has to be hidden
  const int64_t stride = padded_keys(t.keys), width = t.value_width;
  const Sides<T> s{t.scores + row * stride + begin - t.from, stride, end - begin, t.v + begin * t.v_stride,
                   t.v_stride};
  float* const y = t.y + row * width;
  int64_t lane = 0;
  for (; lane + kAtOnce * kLanes <= width; lane += kAtOnce * kLanes)
    product<R, kAtOnce>(s, lane, y, width, false);
  for (; lane + kLanes <= width; lane += kLanes) product<R, 1>(s, lane, y, width, false);
  for (; lane < width; ++lane) {
    for (int64_t r = 0; r < R; ++r) {
      float sum = y[r * width + lane];
      for (int64_t i = 0; i < s.count; ++i)
        sum = __builtin_fmaf(s.left[r * stride + i], value_of(s.right + i * s.right_stride + lane), sum);
      y[r * width + lane] = sum;
    }
  }
}

template <int64_t R>
struct Count {
  static constexpr int64_t value = R;
};
/// body(Count<R>, row) for the rows, kRows at a time: loops over them then have a constant length.
template <class Body>
inline void by_rows(int64_t rows, const Body& body) {
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) body(Count<kRows>{}, row);
  if (rows - row == 2)
    body(Count<2>{}, row);
  else if (rows - row == 1)
    body(Count<1>{}, row);
}

template <class T>
inline void all_scores(const AttendTile<T>& t) {
  for (int64_t done = 0; done < t.keys; done += kKeyBlock) {
    const int64_t begin = t.from + done, count = t.keys - done < kKeyBlock ? t.keys - done : kKeyBlock;
    if (t.turned == nullptr) turn(t.k + begin * t.k_stride, t.k_stride, count, t.width, t.panel);
    const float* const panel = t.turned == nullptr ? t.panel : t.turned + begin * t.width;
    by_rows(t.rows, [&](auto rows, int64_t row) {
      const Seen seen = seen_by(t, row, rows.value);
      if (seen.first < begin + count && seen.last > begin)
        scores_of<rows.value>(t, row, panel, count, t.scores + row * padded_keys(t.keys) + done);
    });
  }
}

template <class T>
inline void all_values(const AttendTile<T>& t) {
  const int64_t fit = kValueBytes / (t.value_width * static_cast<int64_t>(sizeof(T)));
  const int64_t block = fit >= 64 ? 64 : fit >= 32 ? 32 : 16;  // keys
  for (int64_t begin = t.from; begin < t.from + t.keys; begin += block) {
    by_rows(t.rows, [&](auto rows, int64_t row) {
      const Seen seen = seen_by(t, row, rows.value);
      const int64_t first = seen.first > begin ? seen.first : begin;
      const int64_t last = seen.last < begin + block ? seen.last : begin + block;
      if (first < last) values_of<rows.value>(t, row, first, last);
    });
  }
}

template <class T>
void attend(const AttendTile<T>& t) {
  all_scores(t);
  by_rows(t.rows, [&](auto rows, int64_t row) {
    const Seen seen = seen_by(t, row, rows.value);
    for (int64_t r = row; r < row + rows.value; ++r) t.factors[r] = chances(t, r, seen);
  });
  for (int64_t i = 0; i < t.rows * t.value_width; ++i) t.y[i] = 0;
  all_values(t);
  for (int64_t r = 0; r < t.rows; ++r)
    for (int64_t l = 0; l < t.value_width; ++l) t.y[r * t.value_width + l] *= t.factors[r];
}
