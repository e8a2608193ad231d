// AVX512_VNNI: four products of a byte without and one with a sign are added to a lane by one instruction.
// Included inside a level's unnamed namespace after avx512.inl; <cstring> is there.

constexpr int64_t kMost = 8;  // bytes of rows at a time: 16 sums, two of codes, one of q

// In place: g++ 12 copies registers around its own intrinsic, which halves the rate.
inline void dot(__m512i& sum, __m512i codes, __m512i q) {
  asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(q));
}

inline __m512i four_of(const uint8_t* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

// Sums of M rows by byte of their values (the high one first), for both halves of the codes.
template <int64_t M, int64_t kBytes>
using Accumulators = __m512i[M][kBytes][2];

template <int64_t M, int64_t kBytes, int64_t kBits, bool kFar>
inline __attribute__((always_inline)) void add_step(const uint8_t* row, const uint8_t* codes,
                                                    const uint8_t* far, Accumulators<M, kBytes>& sums) {
  for (int64_t quad = 0; quad < 16; ++quad, row += 4, codes += 16 * kBits, far += 16 * kBits) {
    __m512i c[2];
    if constexpr (kFar) {
      prefetch_line(far);
      if constexpr (kBits == 8) prefetch_line(far + 64);
    }
    if constexpr (kBits == 4) {
      const Halves pair = halves(codes);
      c[0] = pair.low, c[1] = pair.high;
    } else {
      c[0] = _mm512_loadu_si512(codes), c[1] = _mm512_loadu_si512(codes + 64);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 2
      for (int64_t byte = 0; byte < kBytes; ++byte) {
        const __m512i q = four_of(row + (r * kBytes + byte) * kQgemmStep);
        dot(sums[r][byte][0], c[0], q);
        dot(sums[r][byte][1], c[1], q);
      }
    }
  }
}

template <int64_t M, int64_t kBytes, int64_t kBits, bool kFar>
void some_rows(const QuantisedRows& rows, const QuantisedPanel& p, float* to) {
  constexpr int64_t bytes = kQgemmStepBytes * kBits / 8;
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    Accumulators<M, kBytes> sums;
#pragma GCC unroll 32
    for (int64_t i = 0; i < M * kBytes * 2; ++i)
      sums[i / 2 / kBytes][i / 2 % kBytes][i % 2] = _mm512_setzero_si512();
    const int64_t end = first + p.block < p.steps ? first + p.block : p.steps;
    if constexpr (kFar) prefetch_scales(p.scales + first / p.group * kQgemmLanes);
    for (int64_t s = first; s < end; ++s) {
      add_step<M, kBytes, kBits, kFar>(rows.data + s * kRowStep, p.codes + s * bytes,
                                       prefetch_address(p, s, bytes), sums);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < M; ++r) {
      const __m512 by = _mm512_set1_ps(rows.scales[block * kPanelBytes / kBytes + r]);
      const __m512i total = _mm512_set1_epi32(rows.totals[block * kPanelBytes / kBytes + r]);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const __m512i accumulators =
            kBytes == 2 ? both(sums[r][0][i], sums[r][kBytes - 1][i]) : sums[r][0][i];
        finish(accumulators, total, by, _mm512_loadu_ps(p.scales + first / p.group * kQgemmLanes + i * 16),
               to + r * kQgemmLanes + i * 16);
      }
    }
  }
}

template <int64_t M, int64_t kBytes>
void up_to(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  if constexpr (M > 1) {
    if (m < M) return up_to<M - 1, kBytes>(rows, p, m, sums);
  }
  if (p.from_memory)
    return p.bits == 4 ? some_rows<M, kBytes, 4, true>(rows, p, sums)
                       : some_rows<M, kBytes, 8, true>(rows, p, sums);
  return p.bits == 4 ? some_rows<M, kBytes, 4, false>(rows, p, sums)
                     : some_rows<M, kBytes, 8, false>(rows, p, sums);
}

// Rows kMost sums at a time.
template <int64_t kBytes>
void vector_rows(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  constexpr int64_t M = kMost / kBytes;
  for (int64_t r = 0; r < m; r += M) {
    QuantisedPanel again = p;
    again.from_memory = p.from_memory && r == 0;
    up_to<M, kBytes>({kBytes, rows.data + r * kBytes * kQgemmStep, rows.scales + r, rows.totals + r}, again,
                     m - r < M ? m - r : M, sums + r * kQgemmLanes);
  }
}

void vector_tile(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  rows.bytes == 2 ? vector_rows<2>(rows, p, m, sums) : vector_rows<1>(rows, p, m, sums);
}
