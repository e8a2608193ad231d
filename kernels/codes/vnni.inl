// AVX512_VNNI: four products of a byte without and one with a sign are added to a lane by one instruction.
// Included inside a level's unnamed namespace after avx512.inl; <cstring> is there.

constexpr int64_t kMost = 4;  // rows at a time: 16 sums, two of codes, two of q

// In place: g++ 12 copies registers around its own intrinsic, which halves the rate.
inline void dot(__m512i& sum, __m512i codes, __m512i q) { asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(q)); }

inline __m512i four_of(const uint8_t* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

template <int64_t M>
struct Sums {
  __m512i high[M][2], low[M][2];
};

template <int64_t M, int64_t kBits, bool kFar>
inline __attribute__((always_inline)) void add_step(const uint8_t* row, const uint8_t* codes, const uint8_t* far, Sums<M>& sums) {
  for (int64_t quad = 0; quad < 16; ++quad, row += 4, codes += 16 * kBits, far += 16 * kBits) {
    __m512i c[2];
    if constexpr (kFar) {
      ask(far);
      if constexpr (kBits == 8) ask(far + 64);
    }
    if constexpr (kBits == 4) {
      const Halves both = halves(codes);
      c[0] = both.low, c[1] = both.high;
    } else {
      c[0] = _mm512_loadu_si512(codes), c[1] = _mm512_loadu_si512(codes + 64);
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < M; ++r) {
      const __m512i high = four_of(row + r * kRowBytes), low = four_of(row + r * kRowBytes + kCodeStep);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        dot(sums.high[r][i], c[i], high);
        dot(sums.low[r][i], c[i], low);
      }
    }
  }
}

template <int64_t M, int64_t kBits, bool kFar>
void some_rows(const CodeRows& rows, const CodePanel& p, float* to) {
  constexpr int64_t bytes = kCodeBytes * kBits / 8;
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    Sums<M> sums;
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
      for (int64_t r = 0; r < M; ++r) sums.high[r][i] = sums.low[r][i] = _mm512_setzero_si512();
    }
    const int64_t end = first + p.block < p.steps ? first + p.block : p.steps;
    if constexpr (kFar) ask_scales(p.scales + first / p.group * kCodeLanes);
    for (int64_t s = first; s < end; ++s) {
      add_step<M, kBits, kFar>(rows.data + s * kCodeRows * kRowBytes, p.codes + s * bytes, early(p, s, bytes), sums);
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < M; ++r) {
      const __m512 by = _mm512_set1_ps(rows.scales[block * kCodeRows + r]);
      const __m512i total = _mm512_set1_epi32(rows.totals[block * kCodeRows + r]);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        finish(sums.high[r][i], sums.low[r][i], total, by, p.scales + first / p.group * kCodeLanes + i * 16, to + r * kCodeLanes + i * 16);
      }
    }
  }
}

template <int64_t M>
void up_to(const CodeRows& rows, const CodePanel& p, int64_t m, float* sums) {
  if constexpr (M > 1) {
    if (m < M) return up_to<M - 1>(rows, p, m, sums);
  }
  if (p.from_memory) return p.bits == 4 ? some_rows<M, 4, true>(rows, p, sums) : some_rows<M, 8, true>(rows, p, sums);
  return p.bits == 4 ? some_rows<M, 4, false>(rows, p, sums) : some_rows<M, 8, false>(rows, p, sums);
}

void vector_tile(const CodeRows& rows, const CodePanel& p, int64_t m, float* sums) {
  for (int64_t r = 0; r < m; r += kMost) {
    CodePanel again = p;
    again.from_memory = p.from_memory && r == 0;
    up_to<kMost>({rows.data + r * kRowBytes, rows.scales + r, rows.totals + r}, again, m - r < kMost ? m - r : kMost, sums + r * kCodeLanes);
  }
}
