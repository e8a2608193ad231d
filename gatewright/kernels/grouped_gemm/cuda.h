#pragma once
// The CUDA level of ragged products, for callers that are not compiled by nvcc. Every pointer is the
// device's.
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

namespace gw::kernels::cuda {

/// One factor pair of a product over groups of rows: row r of group e times the group's matrix.
template <class T>
struct RowsFactor {
  const T* rows = nullptr;         ///< [·, k]
  const int64_t* index = nullptr;  ///< row r is rows[index[r]]; null: rows[r]
  const T* weights = nullptr;      ///< [experts, n, k], or [experts, k, n] when `across`
};

/// to [N, n] = bias_e + Σ_factors Σ_k row[k]·weights_e[·][k]: NT, or NN when `across`. Group e has rows
/// offsets[e] … offsets[e + 1] - 1.
template <class T>
struct RowsProduct {
  int64_t experts = 0, rows = 0, k = 0, n = 0;  ///< rows: at least N, which only the device knows
  const int64_t* offsets = nullptr;
  RowsFactor<T> factor[2];  ///< the second may be empty
  bool across = false;
  const float* bias = nullptr;  ///< [experts, n] or null
  float* to = nullptr;
};

/// to [experts, m, n] = Σ_{rows of e} left[row][·]·right[row][·], summed in the order of the rows: TN. Groups
/// without rows get exact zeros.
template <class T>
struct GroupsProduct {
  int64_t experts = 0, m = 0, n = 0;
  const int64_t* offsets = nullptr;
  const T *left = nullptr, *right = nullptr;                    ///< [·, m], [·, n]
  const int64_t *left_index = nullptr, *right_index = nullptr;  ///< as RowsFactor::index
  T* to = nullptr;
};

/// Both: f32 has the bits of every other level, whatever the other rows are; bf16 sums in f32. Tiles are
/// found from the offsets on the device: nothing waits for the host, and no buffer has a capacity. Return
/// before the work is done. Errors: IoError when there is no device, no memory or no launch;
/// ValueError for more tiles than a launch can have.
/// Cost: 2·N·k·n flop (rounded up to tiles of 64), two launches and one.
template <class T, class Device>
void rows_product(Device& device, const RowsProduct<T>& p);
template <class T, class Device>
void groups_product(Device& device, const GroupsProduct<T>& p);

}  // namespace gw::kernels::cuda
