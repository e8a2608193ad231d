// AMX_INT8: 16 rows × 64 k by 64 k × 16 lanes in one instruction. A tile is two tiles of rows (their high and
// low bytes, or 32 rows of one byte) by two of codes: four of sums; per step four tile loads under four
// products, and per block a pass of vectors over the sums.
#include "gatewright/kernels/qgemm/qgemm.h"

#if defined(__AMX_INT8__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
#include <immintrin.h>

#include <array>
#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/qgemm/avx512.inl"
#include "gatewright/kernels/qgemm/vnni.inl"
#include "gatewright/kernels/tiles.inl"

constexpr int64_t kTile = 1024;     // bytes
constexpr int64_t kVectorRows = 3;  // us for D = H = 512, 2, 3, 4 and 8 rows: 20, 26, 31, 55 with vectors;
                                    // 29, 30, 36 for 3, 4, 8 in the unit

// Sums 0, 1 and rows 4: all rows, or the first 16. Sums 2, 3 and rows 5: the same rows' low bytes, or the
// rest.
constexpr auto kBoth = tile_configs<0, 1, 2, 3, 4, 5>(), kRest = tile_configs<2, 3, 5>();

inline void prefetch_line(const uint8_t* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) prefetch_line(from + i);
}

// What this thread's unit is configured for, null: nothing. Configuring takes as long as a step and a half.
thread_local const TileConfig* configured = nullptr;

inline void configure(const TileConfig& config) {
  if (configured == &config) return;
  _tile_loadconfig(&config);
  configured = &config;
}

// Other code in the process configures the unit for itself.
void release_tiles() {
  if (configured != nullptr) _tile_release();
  configured = nullptr;
}

// Codes by the first and, with kTwo, the second tile of rows. `far`: what to ask for, `quarter` bytes at a
// time (0: nothing).
template <int64_t kBytes, bool kTwo>
inline __attribute__((always_inline)) void add_step(const uint8_t* rows, const uint8_t* codes,
                                                    const uint8_t* far, int64_t quarter) {
  constexpr int64_t stride = kBytes * kQgemmStep;
  _tile_loadd(4, rows, stride);
  prefetch_line(far, quarter);
  if constexpr (kTwo) _tile_loadd(5, rows + (kBytes == 2 ? 1 : 16) * kQgemmStep, stride);
  prefetch_line(far + quarter, quarter);
  _tile_loadd(6, codes, 128);
  _tile_dpbsud(0, 4, 6);
  prefetch_line(far + 2 * quarter, quarter);
  if constexpr (kTwo) _tile_dpbsud(2, 5, 6);
  _tile_loadd(7, codes + 64, 128);
  _tile_dpbsud(1, 4, 7);
  prefetch_line(far + 3 * quarter, quarter);
  if constexpr (kTwo) _tile_dpbsud(3, 5, 7);
}

// A block's sums: the first tile of rows by both halves of the codes, then the second.
using Accumulator = int32_t[4][kTile / 4];

template <bool kTwo>
inline void store_sums(Accumulator& to) {
  _tile_stored(0, to[0], 64);
  _tile_stored(1, to[1], 64);
  if constexpr (kTwo) {
    _tile_stored(2, to[2], 64);
    _tile_stored(3, to[3], 64);
  }
}

// What a block's sums add to the rows.
template <int64_t kBytes>
void finish_block(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, int64_t block,
                  const Accumulator& accumulators, float* sums) {
  const float* scale = p.scales + block * p.block / p.group * kQgemmLanes;
  const __m512 scales[2] = {_mm512_loadu_ps(scale), _mm512_loadu_ps(scale + 16)};
  for (int64_t r = 0; r < m; ++r) {
    const __m512 by = _mm512_set1_ps(rows.scales[block * kPanelBytes / kBytes + r]);
    const __m512i total = _mm512_set1_epi32(rows.totals[block * kPanelBytes / kBytes + r]);
    for (int i = 0; i < 2; ++i) {
      __m512i sum = _mm512_load_si512(accumulators[kBytes == 2 ? i : r / 16 * 2 + i] + r % 16 * 16);
      if constexpr (kBytes == 2) sum = both(sum, _mm512_load_si512(accumulators[2 + i] + r * 16));
      finish(sum, total, by, scales[i], sums + r * kQgemmLanes + i * 16);
    }
  }
}

// The block before is finished while the unit multiplies: stores of its tiles wait for the products, vectors
// do not. A part of it between every two products, and a store of each tile just before it is cleared for the
// next block, gave nothing.
template <int64_t kBytes, bool kTwo>
void unit_tile(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  alignas(64) uint8_t expanded[kQgemmStepBytes];
  alignas(64) Accumulator accumulators[2];
  configure(kBytes == 2 || !kTwo ? kBoth[static_cast<size_t>(m - 1)] : kRest[static_cast<size_t>(m - 17)]);
  const int64_t bytes = kQgemmStepBytes * p.bits / 8, far = p.from_memory ? bytes : p.prefetch_bytes;
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const int64_t end = first + p.block < p.steps ? first + p.block : p.steps;
    if (far > 0) prefetch_scales(p.scales + first / p.group * kQgemmLanes);
    for (int64_t s = first; s < end; ++s) {
      const uint8_t *stored = p.codes + s * bytes, *codes = stored;
      if (p.bits == 4) expand(stored, 1, expanded), codes = expanded, seen();
      add_step<kBytes, kTwo>(rows.data + s * kRowStep, codes,
                             p.from_memory ? prefetch_address(p, s, bytes) : p.prefetch + s * far, far / 4);
    }
    if (block > 0) finish_block<kBytes>(rows, p, m, block - 1, accumulators[(block - 1) % 2], sums);
    store_sums<kTwo>(accumulators[block % 2]);
  }
  if (const int64_t blocks = (p.steps + p.block - 1) / p.block; blocks > 0)
    finish_block<kBytes>(rows, p, m, blocks - 1, accumulators[(blocks - 1) % 2], sums);
}

void tile(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  if (m <= kVectorRows) return vector_tile(rows, p, m, sums);
  if (rows.bytes == 2) return unit_tile<2, true>(rows, p, m, sums);
  m > 16 ? unit_tile<1, true>(rows, p, m, sums) : unit_tile<1, false>(rows, p, m, sums);
}

}  // namespace

const QgemmTable qgemm_amx{pack_row, tile, release_tiles, expand};

}  // namespace gw::kernels
#endif
