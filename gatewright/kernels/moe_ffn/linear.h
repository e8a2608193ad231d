#pragma once
// One product of tokens with one matrix, as the layers around a mixture need it: the tiles of the experts.
#include "gatewright/kernels/moe_ffn/quantised_ffn.h"

namespace gw::kernels {

template <class T>
using LinearProblem = ProductProblem<T, FfnWeight<T>>;

/// Bits:   of a row, whatever the other rows are; sums as GemmTable<T>::tile.
/// Cost:   2·rows·in·out flop; the weights are read once; two barriers.
/// Memory: sizeof(T)·rows·in bytes in panels, and workers·≤ 3 MB of tiles.
template <class T>
void linear_forward(const FfnLevel<T>& level, const LinearProblem<T>& p, ThreadPool& pool, Arena& arena);

template <class T>
using QuantisedLinearProblem = ProductProblem<T, QuantisedWeight>;
/// The same with codes. Error and cost as quantised_forward.
template <class T>
void quantised_linear(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedLinearProblem<T>& p,
                      ThreadPool& pool, Arena& arena);

}  // namespace gw::kernels
