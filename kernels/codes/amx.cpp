// AMX_INT8: 16 rows × 64 k by 64 k × 16 lanes in one instruction. A tile is 16 rows × 32 lanes: high and low bytes of the rows (two tiles), two of
// codes, four of sums; per step four tile loads under four products, and per block a pass of vectors over the sums.
#include "kernels/codes/codes.h"

#if defined(__AMX_INT8__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
#include <immintrin.h>

#include <array>
#include <cstring>

namespace gw::kernels {
namespace {

#include "kernels/codes/avx512.inl"
#include "kernels/codes/vnni.inl"
#include "kernels/tiles.inl"

constexpr int64_t kTile = 1024;  // bytes
constexpr int64_t kVectorRows = 3;  // us for D = H = 512, 2, 3, 4 and 8 rows: 20, 26, 31, 55 with vectors; 29, 30, 36 for 3, 4, 8 in the unit

constexpr auto kConfigs = tile_configs(6);

inline void ask(const uint8_t* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) ask(from + i);
}

// Sums 0, 1: high bytes by both halves of the codes; 2, 3: low bytes. `far`: what to ask for, `quarter` bytes at a time (0: nothing).
inline void add_step(const uint8_t* rows, const uint8_t* codes, const uint8_t* far, int64_t quarter) {
  _tile_loadd(4, rows, kRowBytes);
  ask(far, quarter);
  _tile_loadd(5, rows + kCodeStep, kRowBytes);
  ask(far + quarter, quarter);
  _tile_loadd(6, codes, 128);
  _tile_dpbsud(0, 4, 6);
  ask(far + 2 * quarter, quarter);
  _tile_dpbsud(2, 5, 6);
  _tile_loadd(7, codes + 64, 128);
  _tile_dpbsud(1, 4, 7);
  ask(far + 3 * quarter, quarter);
  _tile_dpbsud(3, 5, 7);
}

// Rows that this thread's unit is configured for, 0: none. Configuring takes as long as a step and a half.
thread_local int64_t configured = 0;

inline void configure(int64_t m) {
  if (configured == m) return;
  _tile_loadconfig(&kConfigs[static_cast<size_t>(m - 1)]);
  configured = m;
}

// Other code in the process configures the unit for itself.
void rest() {
  if (configured != 0) _tile_release();
  configured = 0;
}

using Whole = int32_t[4][kTile / 4];

// What a block's four tiles of sums add to the rows.
void finish_block(const CodeRows& rows, const CodePanel& p, int64_t m, int64_t block, const Whole& whole, float* sums) {
  const float* scale = p.scales + block * p.block / p.group * kCodeLanes;
  for (int64_t r = 0; r < m; ++r) {
    const __m512 by = _mm512_set1_ps(rows.scales[block * kCodeRows + r]);
    const __m512i total = _mm512_set1_epi32(rows.totals[block * kCodeRows + r]);
    for (int i = 0; i < 2; ++i) {
      finish(_mm512_load_si512(whole[i] + r * 16), _mm512_load_si512(whole[2 + i] + r * 16), total, by, scale + i * 16, sums + r * kCodeLanes + i * 16);
    }
  }
}

void tile(const CodeRows& rows, const CodePanel& p, int64_t m, float* sums) {
  if (m <= kVectorRows) return vector_tile(rows, p, m, sums);
  alignas(64) uint8_t expanded[kCodeBytes];
  alignas(64) Whole whole[2];
  configure(m);
  const int64_t bytes = kCodeBytes * p.bits / 8;
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const int64_t end = first + p.block < p.steps ? first + p.block : p.steps;
    if (p.from_memory) ask_scales(p.scales + first / p.group * kCodeLanes);
    for (int64_t s = first; s < end; ++s) {
      const uint8_t *stored = p.codes + s * bytes, *codes = stored;
      if (p.bits == 4) expand(stored, 1, expanded), codes = expanded;
      add_step(rows.data + s * kCodeRows * kRowBytes, codes, early(p, s, bytes), p.from_memory ? bytes / 4 : 0);
    }
    // The block before is finished while the unit multiplies: stores of its tiles wait for the products, vectors do not.
    if (block > 0) finish_block(rows, p, m, block - 1, whole[(block - 1) % 2], sums);
    Whole& now = whole[block % 2];
    _tile_stored(0, now[0], 64);
    _tile_stored(1, now[1], 64);
    _tile_stored(2, now[2], 64);
    _tile_stored(3, now[3], 64);
  }
  if (const int64_t blocks = (p.steps + p.block - 1) / p.block; blocks > 0) finish_block(rows, p, m, blocks - 1, whole[(blocks - 1) % 2], sums);
}

}  // namespace

const CodeTable codes_amx{lay, tile, rest, expand};

}  // namespace gw::kernels
#endif
