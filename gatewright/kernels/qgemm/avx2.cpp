// AVX2. Rows of two bytes: codes are split into their even and odd k, 16 bits each, and multiplied with pairs
// of q (vpmaddwd). Rows of one byte, whose codes have 4 bits: bytes by bytes (vpmaddubsw), and eight sums of
// two products fit 16 bits, 8·2·15·127 < 2^15. Both multiply two vectors a cycle, as f32 does, so that an
// addition beside each leaves 2 and 4 times f32's rate. Sums of 6 rows × 16 lanes stay in registers: per 4 k
// 24 products, 24 additions and 4 instructions that split codes; few rows take all 32 lanes at once.
#include "gatewright/kernels/qgemm/qgemm.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

constexpr int64_t kMostRows = 6, kWideRows = 3;  // most rows of 16 and of 32 lanes

// 16 bits: k 0, 2, 1, 3 of each four, as the split codes come.
void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  if (bytes == 1) {
    for (int64_t k = 0; k < kQgemmStep; ++k) to[k] = static_cast<uint8_t>(q[k]);
    return;
  }
  for (int64_t k = 0; k < kQgemmStep; k += 4, to += 8) {
    const int16_t four[4] = {q[k], q[k + 2], q[k + 1], q[k + 3]};
    std::memcpy(to, four, 8);
  }
}

inline __m256i load(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

inline __m256i low_halves(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
inline __m256i high_halves(__m256i v) { return low_halves(_mm256_srli_epi16(v, 4)); }

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  for (int64_t i = 0; i < steps * kQgemmStepBytes / 2; i += 32) {
    const __m256i v = load(from + i);
    uint8_t* both = to + i / 64 * 128 + i % 64;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(both), low_halves(v));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(both + 64), high_halves(v));
  }
}

inline __m256i four_bytes(const uint8_t* from) {
  int32_t four;
  std::memcpy(&four, from, 4);
  return _mm256_set1_epi32(four);
}

// In assembly: left to itself g++ 12 adds up products of several k first, and every sum waits on the stack.
inline void add_words(__m256i& sum, __m256i codes, __m256i q) {
  __m256i products;
  asm volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(codes), "x"(q));
}
inline void add_bytes(__m256i& sum, __m256i codes, __m256i q) {
  __m256i products;
  asm volatile("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
               : "+x"(sum), "=&x"(products)
               : "x"(codes), "x"(q));
}

// Which 8 of the 32 lanes vector v of pass `pass` holds. Two vectors of 4 bits come from the same bytes: from
// both halves of the lanes.
template <int64_t kBits, int64_t V>
constexpr int64_t eight_of(int64_t pass, int64_t v) {
  if (V == 4) return v;
  return kBits == 4 ? pass + 2 * v : 2 * pass + v;
}

// A byte for each code of four k.
template <int64_t kBits, int64_t V>
inline void load_codes(const uint8_t* quad, int64_t pass, __m256i (&codes)[V]) {
  if constexpr (kBits == 8) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v) codes[v] = load(quad + 32 * eight_of<8, V>(pass, v));
  } else if constexpr (V == 2) {
    const __m256i both = load(quad + 32 * pass);
    codes[0] = low_halves(both), codes[1] = high_halves(both);
  } else {
    const __m256i first = load(quad), second = load(quad + 32);
    codes[0] = low_halves(first), codes[1] = low_halves(second);
    codes[2] = high_halves(first), codes[3] = high_halves(second);
  }
}

template <int64_t M, int64_t V>
using Accumulators = __m256i[M][V];

template <int64_t M, int64_t V>
inline void clear(Accumulators<M, V>& sums) {
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v) sums[r][v] = _mm256_setzero_si256();
  }
}

// Rows of two bytes, all steps of a block. `row`: of the first; `bytes`: of a step of codes.
template <int64_t kBits, int64_t M, int64_t V>
inline void add_block(const uint8_t* row, const uint8_t* codes, int64_t steps, int64_t pass,
                      Accumulators<M, V>& to) {
  Accumulators<M, V> sums;
  clear<M, V>(sums);
  for (int64_t s = 0; s < steps; ++s, row += kRowStep - 2 * kQgemmStep) {
    for (int64_t quad = 0; quad < 16; ++quad, row += 8, codes += 16 * kBits) {
      __m256i c[V];
      load_codes<kBits, V>(codes, pass, c);
#pragma GCC unroll 2
      for (int64_t odd = 0; odd < 2; ++odd) {
        __m256i words[V];
#pragma GCC unroll 4
        for (int64_t v = 0; v < V; ++v)
          words[v] = odd == 0 ? _mm256_and_si256(c[v], _mm256_set1_epi16(255)) : _mm256_srli_epi16(c[v], 8);
#pragma GCC unroll 6
        for (int64_t r = 0; r < M; ++r) {
          const __m256i q = four_bytes(row + r * 2 * kQgemmStep + 4 * odd);
#pragma GCC unroll 4
          for (int64_t v = 0; v < V; ++v) add_words(sums[r][v], words[v], q);
        }
      }
    }
  }
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v) to[r][v] = sums[r][v];
  }
}

// Eight times four k of rows of one byte: the most whose sums fit 16 bits.
template <int64_t kBits, int64_t M, int64_t V>
inline void add_half_step(const uint8_t* row, const uint8_t* codes, int64_t pass, Accumulators<M, V>& to) {
  Accumulators<M, V> sums;
  clear<M, V>(sums);
  for (int64_t quad = 0; quad < 8; ++quad, row += 4, codes += 16 * kBits) {
    __m256i c[V];
    load_codes<kBits, V>(codes, pass, c);
#pragma GCC unroll 6
    for (int64_t r = 0; r < M; ++r) {
      const __m256i q = four_bytes(row + r * kQgemmStep);
#pragma GCC unroll 4
      for (int64_t v = 0; v < V; ++v) add_bytes(sums[r][v], c[v], q);
    }
  }
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v)
      to[r][v] = _mm256_add_epi32(to[r][v], _mm256_madd_epi16(sums[r][v], _mm256_set1_epi16(1)));
  }
}

// What a block's sums add to one row.
template <int64_t kBits, int64_t V>
inline void finish(const __m256i (&accumulators)[V], int64_t pass, int32_t total, float by,
                   const float* scale, float* sums) {
#pragma GCC unroll 4
  for (int64_t v = 0; v < V; ++v) {
    const int64_t lane = 8 * eight_of<kBits, V>(pass, v);
    const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(accumulators[v], _mm256_set1_epi32(total)));
    _mm256_storeu_ps(sums + lane,
                     _mm256_fmadd_ps(_mm256_mul_ps(exact, _mm256_set1_ps(by)), _mm256_loadu_ps(scale + lane),
                                     _mm256_loadu_ps(sums + lane)));
  }
}

template <int64_t kBytes, int64_t kBits, int64_t M, int64_t V>
void some_rows(const QuantisedRows& rows, const QuantisedPanel& p, float* to) {
  constexpr int64_t bytes = kQgemmStepBytes * kBits / 8;
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    const int64_t steps = p.steps - first < p.block ? p.steps - first : p.block;
    const uint8_t *row = rows.data + first * kRowStep, *codes = p.codes + first * bytes;
    for (int64_t pass = 0; pass < 4 / V; ++pass) {
      alignas(32) Accumulators<M, V> sums;
      if constexpr (kBytes == 2) {
        add_block<kBits, M, V>(row, codes, steps, pass, sums);
      } else {
        clear<M, V>(sums);
        for (int64_t half = 0; half < 2 * steps; ++half)
          add_half_step<kBits, M, V>(row + half / 2 * kRowStep + half % 2 * (kQgemmStep / 2),
                                     codes + half * (bytes / 2), pass, sums);
      }
      for (int64_t r = 0; r < M; ++r) {
        const int64_t at = block * kPanelBytes / kBytes + r;
        finish<kBits, V>(sums[r], pass, rows.totals[at], rows.scales[at],
                         p.scales + first / p.group * kQgemmLanes, to + r * kQgemmLanes);
      }
    }
  }
}

template <int64_t kBytes, int64_t kBits, int64_t M = kMostRows>
void up_to(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  if constexpr (M > 1) {
    if (m < M) return up_to<kBytes, kBits, M - 1>(rows, p, m, sums);
  }
  some_rows<kBytes, kBits, M, (M <= kWideRows ? 4 : 2)>(rows, p, sums);
}

// In parts of nearly equal numbers of rows: a single one would split codes for itself.
template <int64_t kBytes, int64_t kBits>
void all_rows(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  const int64_t parts = (m + kMostRows - 1) / kMostRows;
  for (int64_t part = 0, r = 0; part < parts; ++part) {
    const int64_t count = (m - r) / (parts - part);
    up_to<kBytes, kBits>({kBytes, rows.data + r * kBytes * kQgemmStep, rows.scales + r, rows.totals + r}, p,
                         count, sums + r * kQgemmLanes);
    r += count;
  }
}

void tile(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  if (rows.bytes == 2) return all_rows<2, 8>(rows, p, m, sums);
  p.bits == 4 ? all_rows<1, 4>(rows, p, m, sums) : all_rows<1, 8>(rows, p, m, sums);
}

}  // namespace

const QgemmTable qgemm_avx2{pack_row, tile, nullptr, expand};

}  // namespace gw::kernels
#endif
