// Few rows against a matrix that is used once: read as it lies, no panels of columns. Both give the bits of
// tile(). Included by amx_bf16.cpp.
// 18 experts of D = 1024, H = 512 with one to four rows, training: packing was two fifths of the time.

constexpr int64_t kDeep = 32, kSquare = kLanes * kLanes, kSize = sizeof(Bf16);

inline float* at_lane(const Sums<float>& c, int64_t lane) {
  return c.at + lane / kCols * kRows * kCols + lane % kCols;
}

// Panels of A as the unit wants its right side: [16 pairs of k][16 rows][2].
void turn_rows(const Bf16* a, int64_t units, Bf16* to) {
  Units square[kLanes];
  for (int64_t u = 0; u < units; ++u) {
    for (int64_t i = 0; i < kLanes; ++i) square[i] = _mm512_loadu_si512(a + u * kTile + i * kGroup);
    transpose(square);
    store_square(square, to + u * kTile);
  }
}

// Sums of 16 lanes: m rows of them in memory, [lane][row] in the unit.
void take_sums(const float* at, int64_t m, float* sums) {
  Units square[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) square[i] = i < m ? _mm512_loadu_si512(at + i * kCols) : zero_units();
  transpose(square);
  for (int64_t i = 0; i < kLanes; ++i) _mm512_store_si512(sums + i * kLanes, square[i]);
}
void give_sums(const float* sums, int64_t m, float* at) {
  Units square[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) square[i] = _mm512_load_si512(sums + i * kLanes);
  transpose(square);
  for (int64_t i = 0; i < m; ++i) _mm512_storeu_si512(at + i * kCols, square[i]);
}

// k contiguous: the matrix is the left side of the product, 16 lanes × 32 k a tile, and the rows are the
// right side; two tiles, so that one product need not wait for the other. The next 32 lanes are asked for
// meanwhile, behind the last what is at `next`.
void few_k(const Bf16* a, const Bf16* b, int64_t stride, int64_t lanes, int64_t units, int64_t m,
           Sums<float> c, const Bf16* next) {
  alignas(64) Bf16 rows[kDeep * kTile];
  alignas(64) float sums[kSquare];
  for (int64_t u0 = 0; u0 < units; u0 += kDeep) {
    const int64_t n = units - u0 < kDeep ? units - u0 : kDeep;
    turn_rows(a + u0 * kTile, n, rows);
    seen();
    _tile_loadconfig(&kConfigs[kRows - 1]);
    for (int64_t lane = 0; lane < lanes; lane += 2 * kLanes) {
      const Bf16* w = b + lane * stride + u0 * kGroup;
      const Bf16* far = lane + 2 * kLanes < lanes ? w + 2 * kLanes * stride : next == nullptr ? w : next;
      if (c.fresh && u0 == 0) {
        _tile_zero(0);
        _tile_zero(1);
      } else {
        take_sums(at_lane(c, lane), m, sums);
        seen();
        _tile_loadd(0, sums, 64);
        take_sums(at_lane(c, lane + kLanes), m, sums);
        seen();
        _tile_loadd(1, sums, 64);
      }
      for (int64_t u = 0; u < n; ++u, w += kGroup, far += kGroup) {
        _tile_loadd(5, rows + u * kTile, 64);
        for (int64_t i = 0; i < kLanes; ++i) __builtin_prefetch(far + i * stride, 0, 2);
        _tile_loadd(4, w, stride * kSize);
        _tile_dpbf16ps(0, 4, 5);
        for (int64_t i = kLanes; i < 2 * kLanes; ++i) __builtin_prefetch(far + i * stride, 0, 2);
        _tile_loadd(6, w + kLanes * stride, stride * kSize);
        _tile_dpbf16ps(1, 6, 5);
      }
      _tile_stored(0, sums, 64);
      give_sums(sums, m, at_lane(c, lane));
      _tile_stored(1, sums, 64);
      give_sums(sums, m, at_lane(c, lane + kLanes));
    }
    _tile_release();
  }
}

// Two rows of k as the pairs that the unit wants on its right: the interleaving instructions work inside 128
// bits, so of 32 lanes the first tile holds the lower fours (0 … 3, 8 … 11, 16 … 19, 24 … 27) and the second
// the upper ones.
inline void pair_rows(const Bf16* b, int64_t stride, Bf16* low, Bf16* high) {
  for (int64_t pair = 0; pair < kLanes; ++pair, b += 2 * stride) {
    const Units even = _mm512_loadu_si512(b), odd = _mm512_loadu_si512(b + stride);
    _mm512_store_si512(low + pair * kGroup, _mm512_unpacklo_epi16(even, odd));
    _mm512_store_si512(high + pair * kGroup, _mm512_unpackhi_epi16(even, odd));
  }
}

// Sums of 32 lanes as they lie in memory into that order, or back.
inline void order_fours(float* sums, int64_t m, bool back) {
  const Units first = back ? _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0)
                           : _mm512_set_epi32(27, 26, 25, 24, 19, 18, 17, 16, 11, 10, 9, 8, 3, 2, 1, 0);
  const Units second = back ? _mm512_set_epi32(31, 30, 29, 28, 15, 14, 13, 12, 27, 26, 25, 24, 11, 10, 9, 8)
                            : _mm512_set_epi32(31, 30, 29, 28, 23, 22, 21, 20, 15, 14, 13, 12, 7, 6, 5, 4);
  for (int64_t r = 0; r < m; ++r, sums += kCols) {
    const Vector low = load_sums(sums), high = load_sums(sums + kLanes);
    store_sums(sums, _mm512_permutex2var_ps(low, first, high));
    store_sums(sums + kLanes, _mm512_permutex2var_ps(low, second, high));
  }
}

// Lanes contiguous at each k: 32 k at a time over all lanes, so that memory is read in long rows; the sums
// wait in the cache.
void few_lanes(const Bf16* a, const Bf16* b, int64_t stride, int64_t lanes, int64_t units, int64_t m,
               Sums<float> c, const Bf16* next) {
  alignas(64) Bf16 low[kTile], high[kTile];
  constexpr int64_t kAtOnce = 2 * kLanes, kRowBytes = kCols * sizeof(float);
  if (!c.fresh) {
    for (int64_t lane = 0; lane < lanes; lane += kAtOnce) order_fours(at_lane(c, lane), m, false);
  }
  seen();
  _tile_loadconfig(&kConfigs[static_cast<size_t>(m - 1)]);
  for (int64_t u = 0; u < units; ++u, a += kTile, b += kGroup * stride) {
    const Bf16* const far = u + 1 < units ? b + kGroup * stride : next == nullptr ? b : next;
    _tile_loadd(4, a, 64);
    for (int64_t lane = 0; lane < lanes; lane += kAtOnce) {
      float* const sums = at_lane(c, lane);
      for (int64_t k = 0; k < kGroup; ++k) __builtin_prefetch(far + k * stride + lane, 0, 2);
      pair_rows(b + lane, stride, low, high);
      seen();
      if (c.fresh && u == 0) {
        _tile_zero(0);
        _tile_zero(1);
      } else {
        _tile_loadd(0, sums, kRowBytes);
        _tile_loadd(1, sums + kLanes, kRowBytes);
      }
      _tile_loadd(5, low, 64);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, high, 64);
      _tile_dpbf16ps(1, 4, 6);
      _tile_stored(0, sums, kRowBytes);
      _tile_stored(1, sums + kLanes, kRowBytes);
    }
  }
  _tile_release();
  for (int64_t lane = 0; lane < lanes; lane += kAtOnce) order_fours(at_lane(c, lane), m, true);
}
