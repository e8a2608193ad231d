// AVX2. Rows of two bytes: codes are split into their even and odd k, 16 bits each, and multiplied with pairs
// of q (vpmaddwd). Rows of one byte, whose codes have 4 bits: bytes by bytes (vpmaddubsw), and the eight sums
// of a block fit 16 bits, 8·2·15·127 < 2^15. A single row, as decoding has it, takes all 32 lanes at once and
// keeps its sums in registers: 5 instructions for each 16 bytes of codes, so that memory is what it waits
// for. More rows are taken 6 at a time by 16 lanes.
#include "gatewright/kernels/block_gemm/block_gemm.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/qgemm/avx2_codes.inl"

constexpr int64_t kAhead = 2048;  // bytes of a panel asked for early: three units

inline __m256 halves_at(const uint8_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
// Codes of 4 bits: a whole block, in 16 bits.
template <int64_t M, int64_t V>
inline void add_nibbles(const uint8_t* const (&q)[M], const uint8_t* codes, int64_t pass,
                        Accumulators<M, V>& sums) {
  clear<M, V>(sums);
  for (int64_t quad = 0; quad < 8; ++quad, codes += 64) {
    __m256i c[V];
    load_codes<4, V>(codes, pass, c);
#pragma GCC unroll 6
    for (int64_t r = 0; r < M; ++r) {
      const __m256i four = four_bytes(q[r] + 4 * quad);
#pragma GCC unroll 4
      for (int64_t v = 0; v < V; ++v) add_bytes(sums[r][v], c[v], four);
    }
  }
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < V; ++v) sums[r][v] = _mm256_madd_epi16(sums[r][v], _mm256_set1_epi16(1));
  }
}

// Codes of 8 bits: `quads` times four k.
template <int64_t M, int64_t V>
inline void add_codes(const uint8_t* const (&q)[M], const uint8_t* codes, int64_t pass, int64_t quads,
                      Accumulators<M, V>& sums) {
  clear<M, V>(sums);
  for (int64_t quad = 0; quad < quads; ++quad, codes += 128) {
    __m256i c[V];
    load_codes<8, V>(codes, pass, c);
#pragma GCC unroll 2
    for (int64_t odd = 0; odd < 2; ++odd) {
      __m256i words[V];
#pragma GCC unroll 4
      for (int64_t v = 0; v < V; ++v)
        words[v] = odd == 0 ? _mm256_and_si256(c[v], _mm256_set1_epi16(255)) : _mm256_srli_epi16(c[v], 8);
#pragma GCC unroll 6
      for (int64_t r = 0; r < M; ++r) {
        const __m256i two = four_bytes(q[r] + 8 * quad + 4 * odd);
#pragma GCC unroll 4
        for (int64_t v = 0; v < V; ++v) add_words(sums[r][v], words[v], two);
      }
    }
  }
}

// Of one group: scales and minima of all lanes.
struct Factors {
  const uint8_t *scales, *minima;
};

template <int64_t kBits, bool kMinimum, int64_t V>
inline void finish(const __m256i (&exact)[V], int64_t pass, int32_t offset, int32_t total, float by,
                   const Factors& f, __m256 (&to)[V]) {
  const __m256 shift = _mm256_set1_ps(static_cast<float>(total) * by);
#pragma GCC unroll 4
  for (int64_t v = 0; v < V; ++v) {
    const int64_t at = 2 * 8 * eight_of<kBits, V>(pass, v);
    const __m256 sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(exact[v], _mm256_set1_epi32(offset * total)));
    to[v] = _mm256_fmadd_ps(_mm256_mul_ps(sum, _mm256_set1_ps(by)), halves_at(f.scales + at), to[v]);
    if constexpr (kMinimum) to[v] = _mm256_fmadd_ps(shift, halves_at(f.minima + at), to[v]);
  }
}

template <int64_t kBits, int64_t V>
inline void load_sums(const float* from, int64_t pass, __m256 (&to)[V]) {
#pragma GCC unroll 4
  for (int64_t v = 0; v < V; ++v) to[v] = _mm256_loadu_ps(from + 8 * eight_of<kBits, V>(pass, v));
}
template <int64_t kBits, int64_t V>
inline void store_sums(const __m256 (&from)[V], int64_t pass, float* to) {
#pragma GCC unroll 4
  for (int64_t v = 0; v < V; ++v) _mm256_storeu_ps(to + 8 * eight_of<kBits, V>(pass, v), from[v]);
}

// What one call multiplies.
struct Work {
  BlockForm form;
  const uint8_t* panel;
  int64_t first, count;
  const BlockRow* rows;
  float* sums;
};

template <int64_t kBits, bool kMinimum, int64_t M, int64_t V>
inline void one_group(const Work& w, const uint8_t* unit, int64_t block, int64_t group, int64_t pass,
                      __m256 (&kept)[V]) {
  const int64_t groups = kBlockK / w.form.group, quads = w.form.group / 4;
  const uint8_t* q[M];
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r)
    q[r] = w.rows[r].q + (kBits == 4 ? 1 : 2) * (block * kBlockK + group * w.form.group);
  alignas(32) Accumulators<M, V> exact;
  if constexpr (kBits == 4)
    add_nibbles<M, V>(q, unit, pass, exact);
  else
    add_codes<M, V>(q, unit + group * quads * 128, pass, quads, exact);
  const uint8_t* scales = unit + w.form.code_bytes() + group * 2 * kBlockLanes;
  const Factors f{scales, scales + groups * 2 * kBlockLanes};
#pragma GCC unroll 6
  for (int64_t r = 0; r < M; ++r) {
    const int32_t total = w.rows[r].totals[block * groups + group];
    const float by = w.rows[r].scales[block];
    if constexpr (M == 1) {
      finish<kBits, kMinimum, V>(exact[r], pass, w.form.offset, total, by, f, kept);
    } else {
      __m256 sums[V];
      load_sums<kBits, V>(w.sums + r * kBlockLanes, pass, sums);
      finish<kBits, kMinimum, V>(exact[r], pass, w.form.offset, total, by, f, sums);
      store_sums<kBits, V>(sums, pass, w.sums + r * kBlockLanes);
    }
  }
}

template <int64_t kBits, bool kMinimum, int64_t M, int64_t V>
void some_rows(const Work& w) {
  const int64_t groups = kBlockK / w.form.group, bytes = w.form.unit_bytes();
  for (int64_t pass = 0; pass < 4 / V; ++pass) {
    __m256 kept[V];
    if constexpr (M == 1) load_sums<kBits, V>(w.sums, pass, kept);
    const uint8_t* unit = w.panel;
    for (int64_t i = 0; i < w.count; ++i, unit += bytes) {
      if constexpr (M == 1) {
        for (int64_t line = 0; line < bytes; line += 64)
          _mm_prefetch(reinterpret_cast<const char*>(unit + kAhead + line), _MM_HINT_T0);
      }
      for (int64_t group = 0; group < groups; ++group)
        one_group<kBits, kMinimum, M, V>(w, unit, w.first + i, group, pass, kept);
    }
    if constexpr (M == 1) store_sums<kBits, V>(kept, pass, w.sums);
  }
}

template <int64_t kBits, bool kMinimum, int64_t M = kMostRows>
void up_to(const Work& w, int64_t m) {
  if constexpr (M > 1) {
    if (m < M) return up_to<kBits, kMinimum, M - 1>(w, m);
  }
  some_rows<kBits, kMinimum, M, (M <= kWideRows ? 4 : 2)>(w);
}

// In parts of nearly equal numbers of rows: a single one would split codes for itself.
void tile(const BlockForm& form, const uint8_t* panel, int64_t first, int64_t count, const BlockRow* rows,
          int64_t m, float* sums) {
  const int64_t parts = (m + kMostRows - 1) / kMostRows;
  for (int64_t part = 0, r = 0; part < parts; ++part) {
    const int64_t n = (m - r) / (parts - part);
    const Work w{form, panel, first, count, rows + r, sums + r * kBlockLanes};
    if (form.bits == 4)
      form.minimum ? up_to<4, true>(w, n) : up_to<4, false>(w, n);
    else
      form.minimum ? up_to<8, true>(w, n) : up_to<8, false>(w, n);
    r += n;
  }
}

}  // namespace

const BlockGemmTable block_gemm_avx2{pack_row<kBlockK>, tile};

}  // namespace gw::kernels
#endif
