// Bodies of the vector levels, written once. Included inside the anonymous namespace of a level's file after
// it has defined:
// kLanes (32-bit values in a vector), kTileRows, Vector (of f32), Units (a vector of 32-bit units),
// load_sums, store_sums, store_past, zero_sums, load_units, broadcast_unit, Factor prepare(Units) (what dot
// wants of a unit), dot(sums, Factor a, Factor b), store_units_masked(p, v, count), transpose(Units[kLanes]).
// A tile is kTileRows × 2 vectors of sums in registers: 14 × 2 of 32 with AVX-512 (with one broadcast and two
// columns: 31), 6 × 2 of 16 with AVX2. Per unit of k it loads kTileRows + 2 vectors for 2·kTileRows
// multiply-adds, so neither load port is ever the limit.

constexpr int64_t kCols = 2 * kLanes;
// Units that columns are asked for early: 2 kB. Share of the read rate at T = 4 … 64, E = 32, D = 1024, H =
// 512, two cores of a Sapphire Rapids class machine, asked for into the first level: 1 kB 0.95 … 0.75, 2 kB
// 0.98 … 0.82, 4 kB 0.95 … 0.73, 8 kB 0.90 … 0.70. Into the second level, another machine of that class, T =
// 1, 8: 2 kB 30.0, 28.8 GB/s, 4 kB 26.8, 27.2, 6 kB 27.1, 26.5; first level, 2 kB 28.1, 27.1.
constexpr int64_t kPrefetchDistance = 2048 / (4 * kCols);

template <int64_t M>
inline __attribute__((always_inline)) void multiply_unit(const uint32_t* a, const uint32_t* b,
                                                         Vector (&sums)[M][2]) {
  const Factor b0 = prepare(load_units(b)), b1 = prepare(load_units(b + kLanes));
#pragma GCC unroll 14
  for (int64_t i = 0; i < M; ++i) {
    const Factor left = prepare(broadcast_unit(a + i));
    sums[i][0] = dot(sums[i][0], left, b0);
    sums[i][1] = dot(sums[i][1], left, b1);
  }
}

// Two units per turn: 3 % faster on Sapphire Rapids than one, four are slower again.
template <int64_t M>
inline __attribute__((always_inline)) void multiply_units(const uint32_t* a, const uint32_t* b, int64_t units,
                                                          Vector (&sums)[M][2], PrefetchHints hints) {
  int64_t u = 0;
  for (; u + 2 <= units; u += 2, a += 2 * kTileRows, b += 2 * kCols) {
    if (hints.lines > 0) {
      __builtin_prefetch(*hints.line++, 0, 2);
      --hints.lines;
    }
    multiply_unit<M>(a, b, sums);
    multiply_unit<M>(a + kTileRows, b + kCols, sums);
  }
  if (u < units) multiply_unit<M>(a, b, sums);
}

// Columns that come from memory: `far` is what to ask for at the first unit.
template <int64_t M>
inline __attribute__((always_inline)) void multiply_columns(const uint32_t* a, const uint32_t* b,
                                                            int64_t units, Vector (&sums)[M][2],
                                                            const uint32_t* far) {
  int64_t u = 0;
  for (; u + 2 <= units; u += 2, a += 2 * kTileRows, b += 2 * kCols, far += 2 * kCols) {
    for (int64_t line = 0; line < kCols / 8; ++line) __builtin_prefetch(far + line * 16, 0, 2);
    multiply_unit<M>(a, b, sums);
    multiply_unit<M>(a + kTileRows, b + kCols, sums);
  }
  if (u < units) multiply_unit<M>(a, b, sums);
}

// Loads the sums, lets `body(sums)` go through k, stores them. Each body has sums of its own: shared by two
// loops they would wait on the stack.
template <int64_t M, class Body>
inline __attribute__((always_inline)) void with_sums(const Sums<float>& c, const Body& body) {
  Vector sums[M][2];
#pragma GCC unroll 14
  for (int64_t i = 0; i < M; ++i) {
    sums[i][0] = c.fresh ? zero_sums() : load_sums(c.at + i * c.stride);
    sums[i][1] = c.fresh ? zero_sums() : load_sums(c.at + i * c.stride + kLanes);
  }
  body(sums);
#pragma GCC unroll 14
  for (int64_t i = 0; i < M; ++i) {
    float* const row = c.at + i * c.stride;
    if (c.non_temporal) {
      store_past(row, sums[i][0]);
      store_past(row + kLanes, sums[i][1]);
    } else {
      store_sums(row, sums[i][0]);
      store_sums(row + kLanes, sums[i][1]);
    }
  }
}

template <int64_t M>
void tile_rows(const uint32_t* a, const uint32_t* b, int64_t units, Sums<float> c, PrefetchHints hints) {
  // A flag inside the loop costs 6 % of what memory gives.
  if (hints.columns) {
    const int64_t split = units > kPrefetchDistance
                              ? (units - kPrefetchDistance) / 2 * 2
                              : 0;  // from here on what lies kPrefetchDistance ahead is not of this panel
    const uint32_t* const end = b + units * kCols;
    const uint32_t* const next = hints.next != nullptr ? static_cast<const uint32_t*>(hints.next) : end;
    with_sums<M>(
        c, [&](Vector(&sums)[M][2]) __attribute__((always_inline)) {
          multiply_columns<M>(a, b, split, sums, b + kPrefetchDistance * kCols);
          multiply_columns<M>(a + split * kTileRows, b + split * kCols, units - split, sums, next);
        });
  } else {
    with_sums<M>(
        c, [&](Vector(&sums)[M][2])
               __attribute__((always_inline)) { multiply_units<M>(a, b, units, sums, hints); });
  }
}

template <int64_t M>
struct Rows {
  static constexpr int64_t count = M;
};
/// body(Rows<m>): loops over rows then have a constant length, and their sums stay in registers.
template <int64_t M = kTileRows, class Body>
inline void with_rows(int64_t m, const Body& body) {
  if constexpr (M > 1) {
    if (m < M) return with_rows<M - 1>(m, body);
  }
  body(Rows<M>{});
}

template <class T>
void tile(const T* a, const T* b, int64_t units, int64_t m, Sums<float> c, PrefetchHints hints) {
  with_rows(m, [&](auto rows) {
    tile_rows<rows.count>(reinterpret_cast<const uint32_t*>(a), reinterpret_cast<const uint32_t*>(b), units,
                          c, hints);
  });
}

inline uint32_t read_unit(const void* p) {
  uint32_t unit;
  std::memcpy(&unit, p, sizeof unit);
  return unit;
}

// k contiguous: a square of kLanes × kLanes units is transposed in registers.
void pack_squares(const void* const* lane, int64_t count, int64_t width, int64_t units, uint32_t* panel) {
  for (int64_t first = 0; first < width; first += kLanes) {
    const int64_t lanes = width - first < kLanes ? width - first : kLanes;
    int64_t u = 0;
    for (; u + kLanes <= units; u += kLanes) {
      Units square[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        square[i] =
            first + i < count ? load_units(static_cast<const uint32_t*>(lane[first + i]) + u) : zero_units();
      }
      transpose(square);
      for (int64_t j = 0; j < kLanes; ++j) store_units(panel + (u + j) * width + first, square[j], lanes);
    }
    for (; u < units; ++u) {
      for (int64_t i = first; i < first + lanes; ++i) {
        panel[u * width + i] = i < count ? read_unit(static_cast<const char*>(lane[i]) + u * 4) : 0;
      }
    }
  }
}

template <class T>
void pack_k(const T* const* lane, int64_t count, int64_t width, int64_t k, T* panel) {
  constexpr int64_t group = 4 / sizeof(T);
  pack_squares(reinterpret_cast<const void* const*>(lane), count, width, k / group,
               reinterpret_cast<uint32_t*>(panel));
  if (k % group == 0) return;
  T* last = panel + k / group * width * group;  // an odd last k of bf16 is paired with zero
  for (int64_t i = 0; i < width; ++i) {
    last[2 * i] = i < count ? lane[i][k - 1] : T{};
    last[2 * i + 1] = T{};
  }
}

inline void pack_step(const float* const* step, int64_t, int64_t count, uint32_t* units) {
  if (count == kCols) {  // constant sizes: a few moves instead of a call
    std::memcpy(units, step[0], kCols * sizeof(float));
  } else if (count == kTileRows) {
    std::memcpy(units, step[0], kTileRows * sizeof(float));
  } else {
    std::memcpy(units, step[0], static_cast<size_t>(count) * sizeof(float));
  }
}

inline void pack_step(const Bf16* const* step, int64_t left, int64_t count, uint32_t* units) {
  const Bf16 *even = step[0], *odd = left > 1 ? step[1] : nullptr;
  if (odd != nullptr) {
    for (int64_t i = 0; i < count; ++i)
      units[i] = static_cast<uint32_t>(even[i].bits) | static_cast<uint32_t>(odd[i].bits) << 16;
  } else {
    for (int64_t i = 0; i < count; ++i) units[i] = even[i].bits;
  }
}

template <class T>
void pack_lanes(const T* const* step, int64_t k, int64_t count, int64_t width, T* panel) {
  constexpr int64_t group = 4 / sizeof(T);
  auto* units = reinterpret_cast<uint32_t*>(panel);
  for (int64_t j = 0; j < k; j += group, units += width) {
    pack_step(step + j, k - j, count, units);
    for (int64_t i = count; i < width; ++i) units[i] = 0;
  }
}
