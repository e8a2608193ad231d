// AMX_BF16: the matrix unit multiplies 16 × 32 by 32 × 16 in one instruction. A tile is 16 rows × 64 columns:
// four accumulators, one tile of A and four of B; per 32 k five tile loads (8 cycles each) under four
// products (16 cycles each). B comes from the second-level cache, at 64 bytes a cycle if nothing were to
// wait: more than it gives. A pair of tiles is 32 rows × twice 32 columns: half of that. A unit is 32 k:
//   panels of A (16 lanes): [lane][32 k]; panels of B (64 lanes): four times [16 pairs of k][16 lanes][2].
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

#if defined(__AMX_BF16__) && defined(__AVX512F__)
#include <immintrin.h>

#include <array>
#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/grouped_gemm/avx512_vectors.inl"
#include "gatewright/kernels/tiles.inl"

constexpr int64_t kRows = 16, kTiles = 4, kCols = 16 * kTiles, kGroup = 32, kTile = 512,
                  kPrefetchDistance = 1280;  // kTile: bf16 values in a tile

constexpr auto kConfigs = tile_configs<0, 1, 2, 3, 4>();

// Columns from memory: a tile is asked for two and a half loads early: 0.88 of the read rate at T = 8 (three
// or four 0.83, eight 0.82, never 0.72).
inline void prefetch_columns(const Bf16* b, const Bf16* end, const void* next) {
  const Bf16* far = b + kPrefetchDistance;
  if (far >= end && next != nullptr) far = static_cast<const Bf16*>(next) + (far - end);
  for (int64_t line = 0; line < 16; ++line) __builtin_prefetch(far + line * 32);
}

// Later work's lines, as many as go unnoticed beside a unit of k.
inline void prefetch_some(PrefetchHints& hints) {
  for (int i = 0; i < 8 && hints.lines > 0; ++i, --hints.lines) __builtin_prefetch(*hints.line++, 0, 2);
}

// The unit's tiles 0 to 3, which hold sums: where each begins.
inline void load_tiles(float* const (&at)[4], int64_t stride, bool fresh) {
  if (fresh) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, at[0], stride);
    _tile_loadd(1, at[1], stride);
    _tile_loadd(2, at[2], stride);
    _tile_loadd(3, at[3], stride);
  }
}

inline void store_tiles(float* const (&at)[4], int64_t stride) {
  _tile_stored(0, at[0], stride);
  _tile_stored(1, at[1], stride);
  _tile_stored(2, at[2], stride);
  _tile_stored(3, at[3], stride);
}

void tile(const Bf16* a, const Bf16* b, int64_t units, int64_t m, Sums<float> c, PrefetchHints hints) {
  _tile_loadconfig(&kConfigs[static_cast<size_t>(m - 1)]);
  const int64_t stride = c.stride * static_cast<int64_t>(sizeof(float));
  float* const sums[] = {c.at, c.at + 16, c.at + 32, c.at + 48};
  load_tiles(sums, stride, c.fresh);
  const Bf16* const end = b + units * kTiles * kTile;
  for (int64_t u = 0; u < units; ++u, a += kTile, b += kTiles * kTile) {
    prefetch_some(hints);
    _tile_loadd(4, a, 64);
    if (hints.columns) prefetch_columns(b, end, hints.next);
    _tile_loadd(5, b, 64);
    _tile_dpbf16ps(0, 4, 5);
    if (hints.columns) prefetch_columns(b + kTile, end, hints.next);
    _tile_loadd(6, b + kTile, 64);
    _tile_dpbf16ps(1, 4, 6);
    if (hints.columns) prefetch_columns(b + 2 * kTile, end, hints.next);
    _tile_loadd(7, b + 2 * kTile, 64);
    _tile_dpbf16ps(2, 4, 7);
    if (hints.columns) prefetch_columns(b + 3 * kTile, end, hints.next);
    _tile_loadd(5, b + 3 * kTile, 64);
    _tile_dpbf16ps(3, 4, 5);
  }
  store_tiles(sums, stride);
  _tile_release();  // other code in the process configures the unit for itself
}

// Sums 2, 3 and rows 5: the second panel of rows.
constexpr auto kPairConfigs = tile_configs<2, 3, 5>();

// Half of a panel's columns, 32, for both panels of rows.
inline void pair_half(const Bf16* a, const Bf16* below, const Bf16* b, int64_t units, Sums<float> c,
                      float* under, PrefetchHints& hints) {
  const int64_t stride = c.stride * static_cast<int64_t>(sizeof(float));
  float* const sums[] = {c.at, c.at + 16, under, under + 16};
  load_tiles(sums, stride, c.fresh);
  for (int64_t u = 0; u < units; ++u, a += kTile, below += kTile, b += kTiles * kTile) {
    prefetch_some(hints);
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, below, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_loadd(7, b + kTile, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  store_tiles(sums, stride);
}

void pair(const Bf16* a, const Bf16* below, const Bf16* b, int64_t units, int64_t m, Sums<float> c,
          Sums<float> under, PrefetchHints hints) {
  _tile_loadconfig(&kPairConfigs[static_cast<size_t>(m - 1)]);
  pair_half(a, below, b, units, c, under.at, hints);
  c.at += 2 * kLanes;
  pair_half(a, below, b + 2 * kTile, units, c, under.at + 2 * kLanes, hints);
  _tile_release();
}

// 32 k of up to 16 lanes as [lane][16 pairs]; `left` k are real.
void load_square(const Bf16* const* lane, int64_t count, int64_t k0, int64_t left, Units (&square)[kLanes]) {
  for (int64_t i = 0; i < kLanes; ++i) {
    square[i] = zero_units();
    if (i >= count) continue;
    if (left >= kGroup) {
      square[i] = _mm512_loadu_si512(lane[i] + k0);
    } else {
      Bf16 some[kGroup] = {};
      std::memcpy(some, lane[i] + k0, static_cast<size_t>(left) * sizeof(Bf16));
      square[i] = _mm512_loadu_si512(some);
    }
  }
}

inline Units widened(const Bf16* p, int64_t count) {
  if (count == kLanes) return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  Bf16 some[kLanes] = {};
  std::memcpy(some, p, static_cast<size_t>(count) * sizeof(Bf16));
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(some)));
}

// 32 k of up to 16 lanes as [16 pairs][lane], from steps whose lanes are contiguous.
void load_pairs(const Bf16* const* step, int64_t first, int64_t count, int64_t left,
                Units (&square)[kLanes]) {
  for (int64_t j = 0; j < kLanes; ++j) {
    square[j] = zero_units();
    if (2 * j < left) square[j] = widened(step[2 * j] + first, count);
    if (2 * j + 1 < left)
      square[j] = _mm512_or_si512(square[j], _mm512_slli_epi32(widened(step[2 * j + 1] + first, count), 16));
  }
}

void store_square(const Units (&square)[kLanes], Bf16* to) {
  for (int64_t j = 0; j < kLanes; ++j) _mm512_storeu_si512(to + 32 * j, square[j]);
}

void pack_k(const Bf16* const* lane, int64_t count, int64_t width, int64_t k, Bf16* panel) {
  Units square[kLanes];
  for (int64_t k0 = 0; k0 < k; k0 += kGroup) {
    for (int64_t first = 0; first < width; first += kLanes, panel += kTile) {
      load_square(lane + first, count - first, k0, k - k0, square);
      if (width != kRows) transpose(square);
      store_square(square, panel);
    }
  }
}

void pack_lanes(const Bf16* const* step, int64_t k, int64_t count, int64_t width, Bf16* panel) {
  Units square[kLanes];
  for (int64_t k0 = 0; k0 < k; k0 += kGroup) {
    for (int64_t first = 0; first < width; first += kLanes, panel += kTile) {
      const int64_t lanes = count - first < kLanes ? count - first : kLanes;
      load_pairs(step + k0, first, lanes > 0 ? lanes : 0, k - k0, square);
      if (width == kRows) transpose(square);
      store_square(square, panel);
    }
  }
}

#include "gatewright/kernels/grouped_gemm/amx_small_m.inl"

}  // namespace

const GemmTable<Bf16> gemm_amx_bf16{
    kRows, kCols, kGroup, pack_k, pack_lanes, tile, {kRows, 2 * kLanes, kGroup, few_k, few_lanes}, pair};

}  // namespace gw::kernels
#endif
