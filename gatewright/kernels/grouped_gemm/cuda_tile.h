#pragma once
// A tile of 64 × 64 sums that a block of 256 threads makes: what every product of the CUDA levels consists
// of. f32 sums go up k one by one by fused multiply-add from what the tile holds, as at every level: the same
// bits. bf16 goes through the tensor cores (warp_tile.h), 16 k at a time.
#include "gatewright/kernels/cuda/warp_tile.h"

namespace gw::kernels::cuda {

inline constexpr int kTile = 64;  ///< rows and columns
inline constexpr int kTileThreads = 256;
inline constexpr int kDepth = 32;  ///< k that lie in shared memory at a time

/// A matrix as lanes × k. k_contiguous: element (lane, k) at data[index(lane)·stride + k]; else at
/// data[index(k)·stride + lane]. Zero outside.
template <class T>
struct Strips {
  const T* data;
  int64_t stride, lanes, k;
  bool k_contiguous;
  const int64_t* index;  ///< null: itself

  GW_DEVICE T at(int64_t lane, int64_t step) const {
    if (lane >= lanes || step >= k) return T{};
    const int64_t strided = k_contiguous ? lane : step, dense = k_contiguous ? step : lane;
    return data[(index == nullptr ? strided : index[strided]) * stride + dense];
  }
};

/// Values per lane in shared memory: one more than kDepth keeps 32 threads in 32 banks; wmma wants rows of 16
/// bytes.
template <class T>
inline constexpr int kLaneValues = kDepth + (sizeof(T) == 4 ? 1 : 8);
inline constexpr int kOutValues = kTile + 4;

template <class T>
struct Staged {
  alignas(32) T a[kTile][kLaneValues<T>];
  alignas(32) T b[kTile][kLaneValues<T>];
};

/// Shared memory of a body with N tiles: 18 kB (bf16: 18) for one, 35 for two.
template <class T, int N>
struct TileShared {
  union {
    Staged<T> in;
    alignas(32) float out[N][kTile][kOutValues];
  };
};

/// A thread's share of a tile: every 16th row and column, or its warp's share: 16 rows and two times 16
/// columns.
template <class T>
struct TileSums {
  float at[4][4];
};
template <>
struct TileSums<Bf16> {
  WarpTile at[2];
};

/// Private memory of a body with N tiles.
template <class T, int N>
struct TilePrivate {
  TileSums<T> sums[N];
};

template <class T>
GW_DEVICE inline void stage(int thread, const Strips<T>& from, int64_t lane0, int64_t k0,
                            T (*to)[kLaneValues<T>]) {
  for (int i = thread; i < kTile * kDepth;
       i += kTileThreads) {  // neighbours in memory to neighbouring threads
    const int lane = from.k_contiguous ? i / kDepth : i % kTile,
              step = from.k_contiguous ? i % kDepth : i / kTile;
    to[lane][step] = from.at(lane0 + lane, k0 + step);
  }
}

GW_DEVICE inline int warp_row(int warp) { return warp % 4 * kWarpTile; }
GW_DEVICE inline int warp_column(int warp) { return warp / 4 * 2 * kWarpTile; }

// Between a tile's sums in registers and shared.out: f32 by thread, bf16 by warp.
template <class T, class Block, class ByThread, class ByWarp>
GW_DEVICE inline void each_holder(Block& block, const ByThread& by_thread, const ByWarp& by_warp) {
  if constexpr (sizeof(T) == 4) {
    block.each(
        [&](int thread, auto& mine, auto& shared) { by_thread(thread / 16, thread % 16, mine, shared); });
  } else {
    block.each_warp([&](int warp, auto& mine, auto& shared) {
      by_warp(warp_row(warp), warp_column(warp), mine, shared);
    });
  }
}

/// body(r, c) for a thread's values of a tile that lie in its first `rows` and `columns`.
template <class Body>
GW_DEVICE inline void each_value(int thread, int64_t rows, int64_t columns, const Body& body) {
  for (int i = thread; i < kTile * kTile; i += kTileThreads) {
    const int r = i / kTile, c = i % kTile;
    if (r < rows && c < columns) body(r, c);
  }
}

/// Tile S starts as bias[0 … n) in every row, or zero. Use one tile after the other: they share memory.
template <class T, int S, class Block>
GW_DEVICE void start_tile(Block& block, const float* bias, int64_t n) {
  block.each([&](int thread, auto&, auto& shared) {
    each_value(thread, kTile, kTile,
               [&](int r, int c) { shared.out[S][r][c] = bias != nullptr && c < n ? bias[c] : 0.f; });
  });
  each_holder<T>(
      block,
      [](int row, int column, auto& mine, auto& shared) {
        for (int i = 0; i < 4; ++i) {
          for (int j = 0; j < 4; ++j) mine.sums[S].at[i][j] = shared.out[S][row + 16 * i][column + 16 * j];
        }
      },
      [](int row, int column, auto& mine, auto& shared) {
        for (int j = 0; j < 2; ++j)
          warp_load(mine.sums[S].at[j], &shared.out[S][row][column + kWarpTile * j], kOutValues);
      });
}

/// Tile S += a's lanes from row0 times b's lanes from column0, all k.
template <class T, int S, class Block>
GW_DEVICE void multiply_tile(Block& block, const Strips<T>& a, int64_t row0, const Strips<T>& b,
                             int64_t column0) {
  for (int64_t k0 = 0; k0 < a.k; k0 += kDepth) {
    block.each([&](int thread, auto&, auto& shared) {
      stage(thread, a, row0, k0, shared.in.a);
      stage(thread, b, column0, k0, shared.in.b);
    });
    each_holder<T>(
        block,
        [](int row, int column, auto& mine, auto& shared) {
          auto& sums = mine.sums[S].at;
          for (int k = 0; k < kDepth; ++k) {
            float left[4], right[4];
            for (int i = 0; i < 4; ++i)
              left[i] = shared.in.a[row + 16 * i][k], right[i] = shared.in.b[column + 16 * i][k];
            for (int i = 0; i < 4; ++i) {
              for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
            }
          }
        },
        [](int row, int column, auto& mine, auto& shared) {
          for (int k = 0; k < kDepth; k += kWarpTile) {
            for (int j = 0; j < 2; ++j) {
              warp_multiply(mine.sums[S].at[j], &shared.in.a[row][k], &shared.in.b[column + kWarpTile * j][k],
                            kLaneValues<T>);
            }
          }
        });
  }
}

/// Tile S to shared.out[S].
template <class T, int S, class Block>
GW_DEVICE void finish_tile(Block& block) {
  each_holder<T>(
      block,
      [](int row, int column, auto& mine, auto& shared) {
        for (int i = 0; i < 4; ++i) {
          for (int j = 0; j < 4; ++j) shared.out[S][row + 16 * i][column + 16 * j] = mine.sums[S].at[i][j];
        }
      },
      [](int row, int column, auto& mine, auto& shared) {
        for (int j = 0; j < 2; ++j)
          warp_store(mine.sums[S].at[j], &shared.out[S][row][column + kWarpTile * j], kOutValues);
      });
}

}  // namespace gw::kernels::cuda
