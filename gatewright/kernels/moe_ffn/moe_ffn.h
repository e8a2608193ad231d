#pragma once
// One mixture layer's experts: gather → gate·up → activation → down → weighted scatter, and its backward,
// over cache-sized tiles.
#include <vector>

#include "gatewright/kernels/codes/codes.h"
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"
#include "gatewright/kernels/moe_ffn/rows.h"
#include "gatewright/kernels/thread_pool.h"

namespace gw::kernels {

/// How a stacked weight [E, lanes, k] lies: element (e, lane, k) at e·expert + lane·stride + k·step, or, when
/// lanes are the ones that lie together, at e·expert + k·stride + lane·step. Halves of a stack of gate and
/// up, their rows by turns, and transposed stacks are read and written where they are. All 0: dense, k
/// contiguous.
struct FfnLayout {
  int64_t expert = 0, stride = 0, step = 0;
  bool k_contiguous = true;

  FfnLayout of(int64_t lanes, int64_t k) const {
    return step == 0 ? FfnLayout{lanes * k, k, 1, true} : *this;
  }
};

/// Stacked weights [E, lanes, k] (as nn.Linear keeps them: outputs × inputs), E biases of `lanes` values, or
/// null. `packed`: the panels that pack_weights() makes, or null: then few rows read the weights as they lie
/// (SmallM), more rows pack panels on the way, at 2·sizeof(T) bytes of cache traffic per weight and use.
template <class T>
struct FfnWeight {
  const T* data = nullptr;
  const typename SumOf<T>::type* bias = nullptr;
  const T* packed = nullptr;
  FfnLayout layout = {};  ///< CPU levels only; the panels in `packed` have an order of their own
  /// Instead of data, a matrix in codes for each expert, expanded a panel at a time into the worker's tile:
  /// forward passes only.
  const CodedRows* coded = nullptr;
  bool given() const { return data != nullptr || coded != nullptr; }
};

/// An activation of the catalogue instead of FfnProblem::activation: its place there, or -1, and its
/// `count` parameters for each expert, [E, count].
template <class S>
struct FfnUnit {
  int64_t place = -1;
  const S* parameters = nullptr;
  int count = 0;

  RowUnit<S> of(int64_t expert, Activation fast, const UnitTable<S>* units) const {
    RowUnit<S> row(fast);
    if (place < 0) return row;
    row.rows = units->rows + place, row.parameters = parameters + expert * count, row.count = count;
    return row;
  }
};

/// Rows r of expert e are offsets[e] … offsets[e + 1] - 1 and stand for token[r] with weight[r]; N =
/// offsets[E].
template <class T>
struct FfnProblem {
  using Sum = typename SumOf<T>::type;
  int64_t experts = 0, in = 0, hidden = 0, out = 0, tokens = 0;
  const int64_t *offsets = nullptr, *token = nullptr;
  const Sum* weight = nullptr;
  const T* x = nullptr;  ///< [tokens, in]
  FfnWeight<T> gate, up,
      down;  ///< [E, hidden, in] (gate.data null: no GLU), [E, hidden, in], [E, out, hidden]
  Activation activation = Activation::silu;
  GluBounds bounds;  ///< read with GLU only
  FfnUnit<Sum> unit;
};

/// What the forward pass leaves for the backward pass, each [N, hidden]; null places are not written.
template <class T>
struct SavedActivations {
  T *gate = nullptr, *up = nullptr;
};

/// Where gradients go; null places are not computed. All are overwritten; experts without rows get exact
/// zeros.
template <class T>
struct FfnGradients {
  using Sum = typename SumOf<T>::type;
  Sum *x = nullptr, *weight = nullptr;                                 ///< [tokens, in], [N]
  T *gate = nullptr, *up = nullptr, *down = nullptr;                   ///< as the weights
  Sum *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;  ///< as the biases
  Sum* unit = nullptr;                                                 ///< as FfnUnit::parameters
  FfnLayout gate_layout = {}, up_layout = {}, down_layout = {};        ///< CPU levels only
};

/// The levels that one call uses. Both tables are of T.
template <class T>
struct FfnLevel {
  const GemmTable<T>* gemm = nullptr;
  const FfnRowsTable<T>* rows = nullptr;
  const UnitTable<typename SumOf<T>::type>* units = nullptr;  ///< read with FfnProblem::unit
};

/// Memory of a call, handed in by the caller so that it can be reused: at least `bytes` bytes aligned to 64.
class Arena {
 public:
  virtual ~Arena() = default;
  virtual void* take(int64_t bytes) = 0;
};

/// y [tokens, out] (overwritten; tokens without rows get zeros) = Σ_r weight_r · expert(x_token(r)), over a
/// token's rows in the order of experts.
/// Math:   h = f(x·gateᵀ + b)·(x·upᵀ + b) or f(x·upᵀ + b); expert = h·downᵀ + b.
/// Cost:   2·N·hidden·(2·in + out) flop (GLU); weights of experts with rows are read once; three barriers.
/// Memory: sizeof(T)·N·(in + hidden) bytes in panels of A, and workers·≤ 3 MB of tiles.
template <class T>
void ffn_forward(const FfnLevel<T>& level, const FfnProblem<T>& p, typename SumOf<T>::type* y,
                 SavedActivations<T> saved, ThreadPool& pool, Arena& arena);

/// Gradients from that of y, dy [tokens, out], as T.
/// Math:   d = dy_token·down; dw = Σ d·h; (dgate, dup) through f; dx = dgate·gate + dup·up; weight gradients
///         Σ over the expert's rows in order.
/// Cost:   twice the forward's flop; four barriers. `saved` as the forward left it.
/// Memory: sizeof(T)·N·(out + 5·hidden) bytes (3·hidden without GLU), a sum per row and panel of columns, and
///         workers·≤ 3 MB of tiles.
template <class T>
void ffn_backward(const FfnLevel<T>& level, const FfnProblem<T>& p, SavedActivations<const T> saved,
                  const T* dy, const FfnGradients<T>& to, ThreadPool& pool, Arena& arena);

/// Only the first phase of the forward pass, for a backward pass that recomputes.
template <class T>
void ffn_recompute(const FfnLevel<T>& level, const FfnProblem<T>& p, SavedActivations<T> saved,
                   ThreadPool& pool, Arena& arena);

/// Values of T that the panels of a stacked weight [experts, lanes, k] take.
template <class T>
int64_t packed_size(const GemmTable<T>& gemm, int64_t experts, int64_t lanes, int64_t k);
/// Panels for FfnWeight::packed. They hold for this table only.
template <class T>
void pack_weights(const GemmTable<T>& gemm, const T* data, int64_t experts, int64_t lanes, int64_t k,
                  T* packed, ThreadPool& pool);

}  // namespace gw::kernels
