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

#include "gatewright/kernels/qgemm/avx2_codes.inl"

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  for (int64_t i = 0; i < steps * kQgemmStepBytes / 2; i += 32) {
    const __m256i v = load(from + i);
    uint8_t* both = to + i / 64 * 128 + i % 64;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(both), low_halves(v));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(both + 64), high_halves(v));
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

const QgemmTable qgemm_avx2{pack_row<kQgemmStep>, tile, nullptr, expand};

}  // namespace gw::kernels
#endif
