// Bodies of all levels, written once as plain loops: the compiler turns them into vectors with each file's
// flags (checked: no call remains in a vector level's loops). Included inside the anonymous namespace after
// exp_of(Sum), erf_of(Sum, e^-x² as well), store_non_temporal(from, to) (32 bytes past the caches) and
// store_fence() (other threads may read them) are defined; a level with a better combine_64 defines that too.
#include "gatewright/kernels/moe_ffn/activation.inl"

template <class T, class S>
void narrow(const S* c, int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) narrow_to(c[i], to[i]);
}

// Stretches of a row whose activation is rows of the catalogue.
constexpr int64_t kUnitStretch = 64;

template <class T, class S>
__attribute__((noinline)) void activate_unit(const RowUnit<S>& f, const GluBounds& bounds, const S* gate,
                                             const S* up, int64_t n, T* h) {
  const S limit = static_cast<S>(bounds.limit), shift = static_cast<S>(bounds.shift);
  for (int64_t first = 0; first < n; first += kUnitStretch) {
    S x[kUnitStretch], value[kUnitStretch];
    const int64_t count = n - first < kUnitStretch ? n - first : kUnitStretch;
    const S *from = (gate == nullptr ? up : gate) + first, *factor = up + first;
    if (gate != nullptr && bounds.given) {
      for (int64_t i = 0; i < count; ++i) x[i] = at_most(from[i], limit);
      from = x;
    }
    f.rows->value(from, count, f.parameters, value);
    if (gate == nullptr) {
      for (int64_t i = 0; i < count; ++i) narrow_to(value[i], h[first + i]);
    } else if (!bounds.given) {
      for (int64_t i = 0; i < count; ++i) narrow_to(value[i] * factor[i], h[first + i]);
    } else {
      for (int64_t i = 0; i < count; ++i)
        narrow_to(value[i] * (within(factor[i], limit) + shift), h[first + i]);
    }
  }
}

// The kernel's own activations and the catalogue's are functions that are not inlined into one another: which
// products and sums become fused multiply-adds depends on what surrounds them, and with it the last bit.
template <class T, class S>
__attribute__((noinline)) void activate_fast(Activation f, const GluBounds& bounds, const S* gate,
                                             const S* up, int64_t n, T* h, T* saved_gate, T* saved_up) {
  const S limit = static_cast<S>(bounds.limit), shift = static_cast<S>(bounds.shift);
  with(f, [&](auto tag) {
    if (gate == nullptr) {
      for (int64_t i = 0; i < n; ++i) narrow_to(at<tag.value>(up[i]).f, h[i]);
    } else if (!bounds.given) {
      for (int64_t i = 0; i < n; ++i) narrow_to(at<tag.value>(gate[i]).f * up[i], h[i]);
    } else {
      for (int64_t i = 0; i < n; ++i)
        narrow_to(at<tag.value>(at_most(gate[i], limit)).f * (within(up[i], limit) + shift), h[i]);
    }
  });
  if (saved_gate != nullptr) narrow(gate, n, saved_gate);
  if (saved_up != nullptr) narrow(up, n, saved_up);
}

template <class T, class S>
void activate(const RowUnit<S>& f, const GluBounds& bounds, const S* gate, const S* up, int64_t n, T* h,
              T* saved_gate, T* saved_up) {
  if (f.rows == nullptr) return activate_fast(f.fast, bounds, gate, up, n, h, saved_gate, saved_up);
  activate_unit(f, bounds, gate, up, n, h);
  if (saved_gate != nullptr) narrow(gate, n, saved_gate);
  if (saved_up != nullptr) narrow(up, n, saved_up);
}

// Pairs eight apart, then four, two, one. Each half is an array of its own: added in place, vectors are
// stored and loaded again in parts.
template <class S>
inline S fold(const S (&sums)[16]) {
  S eight[8], four[4];
  for (int j = 0; j < 8; ++j) eight[j] = sums[j] + sums[j + 8];
  for (int j = 0; j < 4; ++j) four[j] = eight[j] + eight[j + 4];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// One stretch of a row: each loop is simple enough to become vectors (with the sum inside the loop above it,
// none did: three times slower).
template <Activation A, class T, class S>
inline void back_stretch(const GluBounds& bounds, const T* gate, const T* up, const S* d, S w, int64_t n,
                         S* h, T* weighted, T* d_gate, T* d_up) {
  if (gate == nullptr) {
    for (int64_t i = 0; i < n; ++i) {
      const auto v = at<A>(S(widen(up[i])));
      h[i] = v.f;
      narrow_to(w * d[i] * v.slope, d_up[i]);
    }
  } else if (bounds.given) {
    const S limit = static_cast<S>(bounds.limit), shift = static_cast<S>(bounds.shift);
    for (int64_t i = 0; i < n; ++i) {
      const S g = widen(gate[i]), u = widen(up[i]), factor = within(u, limit) + shift, wd = w * d[i];
      const auto v = at<A>(at_most(g, limit));
      h[i] = v.f * factor;
      narrow_to(u > limit || u < -limit ? S(0) : wd * v.f, d_up[i]);
      narrow_to(g > limit ? S(0) : wd * factor * v.slope, d_gate[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const S u = widen(up[i]), wd = w * d[i];
      const auto v = at<A>(S(widen(gate[i])));
      h[i] = v.f * u;
      narrow_to(wd * v.f, d_up[i]);
      narrow_to(wd * u * v.slope, d_gate[i]);
    }
  }
  for (int64_t i = 0; i < n; ++i) narrow_to(w * h[i], weighted[i]);
}

// Sum j takes the products j, j + 16, …. The tail has its own loop: a branch inside this one prevents
// vectorisation.
template <class S>
inline void add_products(const S* d, const S* h, int64_t n, S (&sums)[16]) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) sums[j] += d[i + j] * h[i + j];
  }
  for (int64_t j = 0; i + j < n; ++j) sums[j] += d[i + j] * h[i + j];
}

// As back_stretch, for rows of the catalogue, one stretch. What is not bounded passes `limit` infinity and
// shift 0. Adds to d_parameters.
template <class T, class S>
void back_unit_stretch(const RowUnit<S>& f, const GluBounds& bounds, const T* gate, const T* up, const S* d,
                       S w, int64_t n, S* h, T* weighted, T* d_gate, T* d_up, S* d_parameters) {
  S x[kUnitStretch], value[kUnitStretch], slope[kUnitStretch], by[10 * kUnitStretch];
  const T* from = gate == nullptr ? up : gate;
  const S limit = static_cast<S>(bounds.limit), shift = static_cast<S>(bounds.shift);
  for (int64_t i = 0; i < n; ++i) x[i] = widen(from[i]);
  if (gate != nullptr && bounds.given) {
    for (int64_t i = 0; i < n; ++i) x[i] = at_most(x[i], limit);
  }
  f.rows->slope(x, n, f.parameters, value, slope);
  const bool learns = d_parameters != nullptr && f.rows->by != nullptr;
  if (learns) f.rows->by(x, n, f.parameters, by);
  for (int64_t i = 0; i < n; ++i) {
    S factor = 1, inside = 1;
    if (gate != nullptr) {
      const S u = widen(up[i]);
      factor = bounds.given ? within(u, limit) + shift : u;
      inside = bounds.given && widen(gate[i]) > limit ? S(0) : S(1);
      narrow_to(bounds.given && (u > limit || u < -limit) ? S(0) : w * d[i] * value[i], d_up[i]);
      narrow_to(inside == 0 ? S(0) : w * d[i] * factor * slope[i], d_gate[i]);
    } else {
      narrow_to(w * d[i] * slope[i], d_up[i]);
    }
    h[i] = value[i] * factor;
    narrow_to(w * h[i], weighted[i]);
    for (int j = 0; learns && j < f.count; ++j) d_parameters[j] += w * d[i] * factor * by[j * n + i];
  }
}

template <class T, class S>
__attribute__((noinline)) S back_unit(const RowUnit<S>& f, const GluBounds& bounds, const T* gate,
                                      const T* up, const S* d, S w, int64_t n, T* weighted, T* d_gate,
                                      T* d_up, S* d_parameters) {
  S sums[16] = {};
  for (int j = 0; d_parameters != nullptr && j < f.count; ++j) d_parameters[j] = 0;
  for (int64_t first = 0; first < n; first += kUnitStretch) {
    S h[kUnitStretch];
    const int64_t count = n - first < kUnitStretch ? n - first : kUnitStretch;
    back_unit_stretch(f, bounds, gate == nullptr ? nullptr : gate + first, up + first, d + first, w, count, h,
                      weighted + first, gate == nullptr ? nullptr : d_gate + first, d_up + first,
                      d_parameters);
    add_products(d + first, h, count, sums);
  }
  return fold(sums);
}

// Σ d·h in 16 sums that go down the row beside each other and are added in a fixed order: a vector's worth,
// the same at every level.
template <class T, class S>
__attribute__((noinline)) S back_fast(Activation f, const GluBounds& bounds, const T* gate, const T* up,
                                      const S* d, S w, int64_t n, T* weighted, T* d_gate, T* d_up) {
  constexpr int64_t kStretch = 64;
  S sums[16] = {};
  with(f, [&](auto tag) {
    for (int64_t first = 0; first < n; first += kStretch) {
      S h[kStretch];
      const int64_t count = n - first < kStretch ? n - first : kStretch;
      T* gate_out = gate == nullptr ? nullptr : d_gate + first;
      back_stretch<tag.value>(bounds, gate == nullptr ? nullptr : gate + first, up + first, d + first, w,
                              count, h, weighted + first, gate_out, d_up + first);
      add_products(d + first, h, count, sums);
    }
  });
  return fold(sums);
}

template <class T, class S>
S activate_backward(const RowUnit<S>& f, const GluBounds& bounds, const T* gate, const T* up, const S* d, S w,
                    int64_t n, T* weighted, T* d_gate, T* d_up, S* d_parameters) {
  if (f.rows == nullptr) return back_fast(f.fast, bounds, gate, up, d, w, n, weighted, d_gate, d_up);
  return back_unit(f, bounds, gate, up, d, w, n, weighted, d_gate, d_up, d_parameters);
}

template <class S>
void scatter(const S* c, S w, int64_t n, S* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = fused(w, c[i], y[i]);
}

template <class T>
void combine_stretch(const T* factor, const T* const* row, int64_t k, int64_t first, int64_t width, T* to) {
  constexpr int64_t kWidth = 64;
  typename SumOf<T>::type sums[kWidth] = {};
  for (int64_t j = 0; j < k; ++j) {
    const auto by = widen(factor[j]);
    const T* from = row[j] + first;
    if (width == kWidth) {
      for (int64_t i = 0; i < kWidth; ++i) sums[i] = fused(by, widen(from[i]), sums[i]);
    } else {
      for (int64_t i = 0; i < width; ++i) sums[i] = fused(by, widen(from[i]), sums[i]);
    }
  }
  narrow(sums, width, to);
}

template <class T>
void combine_64(const T* factor, int64_t rows, const T* const* row, int64_t k, int64_t first, T* values) {
  for (int64_t r = 0; r < rows; ++r) combine_stretch(factor + r * k, row, k, first, 64, values + 64 * r);
}

template <class T>
void write_64(const T* values, T* to, bool non_temporal) {
  constexpr int64_t kPart = 32 / static_cast<int64_t>(sizeof(T));
  if (non_temporal && reinterpret_cast<uintptr_t>(to) % 64 == 0) {
    for (int64_t i = 0; i < 64; i += kPart) store_non_temporal(values + i, to + i);
  } else {
    for (int64_t i = 0; i < 64; ++i) to[i] = values[i];
  }
}

// 64 columns at a time, so that what is written is written once.
template <class T>
void combine(const T* factor, int64_t rows, const T* const* row, int64_t k, int64_t n, T* to, int64_t stride,
             bool non_temporal) {
  alignas(64) T values[4 * 64];
  int64_t first = 0;
  for (; first + 64 <= n; first += 64) {
    combine_64(factor, rows, row, k, first, values);
    for (int64_t r = 0; r < rows; ++r) write_64(values + 64 * r, to + r * stride + first, non_temporal);
  }
  if (first == n) return;
  for (int64_t r = 0; r < rows; ++r)
    combine_stretch(factor + r * k, row, k, first, n - first, to + r * stride + first);
}

template <class T, class S>
void narrow_row(const S* c, int64_t n, T* to, bool non_temporal) {
  alignas(64) T values[64];
  int64_t first = 0;
  for (; non_temporal && first + 64 <= n; first += 64) {
    narrow(c + first, 64, values);
    write_64(values, to + first, true);
  }
  narrow(c + first, n - first, to + first);
}

template <class T, class S>
void add(const T* row, S w, int64_t n, S* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = fused(w, S(widen(row[i])), to[i]);
}

template <class T, class S>
S dot(const T* a, const S* b, int64_t n) {
  S sums[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) sums[j] = fused(S(widen(a[i + j])), b[i + j], sums[j]);
  }
  for (; i < n; ++i) sums[i % 16] = fused(S(widen(a[i])), b[i], sums[i % 16]);
  return fold(sums);
}

// Magnitudes are compared as integers: a loop over floats would not become vectors, for fear of NaN. Rounding
// is by adding 1.5·2^23, fused, so that every level rounds alike.
template <class T>
float quantise_row(const T* x, int64_t n, float most_q, int16_t* to, int32_t& total) {
  constexpr float kRound = 12582912.0f;
  int32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t size = __builtin_bit_cast(int32_t, static_cast<float>(widen(x[i]))) & 0x7fffffff;
    largest = size > largest ? size : largest;
  }
  const float most = __builtin_bit_cast(float, largest);
  const bool finite = largest < 0x7f800000;
  const float by = finite && most >= 1e-30f ? most_q / most : 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    const float value = by == 0 ? 0.0f : static_cast<float>(widen(x[i]));
    to[i] = static_cast<int16_t>(__builtin_bit_cast(int32_t, fused(value, by, kRound)) -
                                 __builtin_bit_cast(int32_t, kRound));
  }
  total = 0;
  for (int64_t i = 0; i < n; ++i) total += to[i];
  if (!finite) return __builtin_nanf("");
  return by == 0 ? 0.0f : most / most_q;
}

template <class T>
constexpr FfnRowsTable<T> table() {
  using S = typename SumOf<T>::type;
  return {activate<T, S>, activate_backward<T, S>,
          scatter<S>,     narrow_row<T, S>,
          combine<T>,     store_fence,
          add<T, S>,      dot<T, S>,
          quantise_row<T>};
}
