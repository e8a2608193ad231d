#pragma once
// 16 × 16 sums of bf16 products: what a warp holds, and the three things that it does with its tensor cores.
// g++ cannot run those: there the same three functions are plain loops over the same memory, so that
// everything around them is tested. Rounding differs: the hardware adds the 16 products of a step in an order
// and a precision of its own.
#include "gatewright/kernels/cuda/numbers.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <mma.h>
#endif

namespace gw::kernels::cuda {

inline constexpr int kWarpTile = 16;

#if defined(__CUDACC__)

struct WarpTile {
  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kWarpTile, kWarpTile, kWarpTile, float> sums;
};

// Addresses are multiples of 32 bytes and strides of 16, as wmma asks.
__device__ inline void warp_load(WarpTile& tile, const float* from, int stride) {
  nvcuda::wmma::load_matrix_sync(tile.sums, from, static_cast<unsigned>(stride), nvcuda::wmma::mem_row_major);
}
__device__ inline void warp_store(const WarpTile& tile, float* to, int stride) {
  nvcuda::wmma::store_matrix_sync(to, tile.sums, static_cast<unsigned>(stride), nvcuda::wmma::mem_row_major);
}
__device__ inline void warp_multiply(WarpTile& tile, const Bf16* a, const Bf16* b, int stride) {
  using namespace nvcuda::wmma;
  static_assert(sizeof(Bf16) == sizeof(__nv_bfloat16), "the same 16 bits");
  fragment<matrix_a, kWarpTile, kWarpTile, kWarpTile, __nv_bfloat16, row_major> left;
  fragment<matrix_b, kWarpTile, kWarpTile, kWarpTile, __nv_bfloat16, col_major> right;
  load_matrix_sync(left, reinterpret_cast<const __nv_bfloat16*>(a), static_cast<unsigned>(stride));
  load_matrix_sync(right, reinterpret_cast<const __nv_bfloat16*>(b), static_cast<unsigned>(stride));
  mma_sync(tile.sums, left, right, tile.sums);
}

#else

struct WarpTile {
  float sums[kWarpTile][kWarpTile];
};

inline void warp_load(WarpTile& tile, const float* from, int stride) {
  for (int i = 0; i < kWarpTile; ++i) {
    for (int j = 0; j < kWarpTile; ++j) tile.sums[i][j] = from[i * stride + j];
  }
}
inline void warp_store(const WarpTile& tile, float* to, int stride) {
  for (int i = 0; i < kWarpTile; ++i) {
    for (int j = 0; j < kWarpTile; ++j) to[i * stride + j] = tile.sums[i][j];
  }
}
/// sums[i][j] += Σ_k a[i·stride + k]·b[j·stride + k], 16 k.
inline void warp_multiply(WarpTile& tile, const Bf16* a, const Bf16* b, int stride) {
  for (int i = 0; i < kWarpTile; ++i) {
    for (int j = 0; j < kWarpTile; ++j) {
      for (int k = 0; k < kWarpTile; ++k)
        tile.sums[i][j] = fmaf(widen(a[i * stride + k]), widen(b[j * stride + k]), tile.sums[i][j]);
    }
  }
}

#endif

}  // namespace gw::kernels::cuda
