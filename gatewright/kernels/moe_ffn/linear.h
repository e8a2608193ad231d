#pragma once
// One product of tokens with one matrix, as the layers around a mixture need it: the tiles of the experts.
#include "gatewright/kernels/moe_ffn/quantised_ffn.h"

namespace gw::kernels {

/// y [rows, out] = x [rows, in]·weightᵀ + bias, `weight` [out, in] with its bias in it.
template <class T>
struct LinearProblem {
  int64_t rows = 0, in = 0, out = 0;
  const T* x = nullptr;
  FfnWeight<T> weight;
  T* y = nullptr;
};

/// Bits:   of a row, whatever the other rows are; sums as GemmTable<T>::tile.
/// Cost:   2·rows·in·out flop; the weights are read once; two barriers.
/// Memory: sizeof(T)·rows·in bytes in panels, and workers·≤ 3 MB of tiles.
template <class T>
void linear_forward(const FfnLevel<T>& level, const LinearProblem<T>& p, ThreadPool& pool, Arena& arena);

/// The same with codes. Error and cost as quantised_forward.
template <class T>
struct QuantisedLinearProblem {
  int64_t rows = 0, in = 0, out = 0;
  const T* x = nullptr;
  QuantisedWeight weight;
  T* y = nullptr;
};
template <class T>
void quantised_linear(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedLinearProblem<T>& p,
                      ThreadPool& pool, Arena& arena);

}  // namespace gw::kernels
