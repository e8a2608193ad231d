#pragma once
// One mixture layer's experts: gather → gate·up → activation → down → weighted scatter, and its backward, over cache-sized tiles.
#include <vector>

#include "kernels/grouped_gemm/grouped_gemm.h"
#include "kernels/moe_ffn/rows.h"
#include "kernels/team.h"

namespace gw::kernels {

/// Weights of few bits in the order of the panels: what quantise_panels() makes. code·scale, one scale per lane and `group` consecutive k.
struct FfnCodes {
  const uint8_t* codes = nullptr;  ///< int8, or two 4-bit codes a byte (low half: element i of 64, high half: element i + 32, plus 8)
  const float* scales = nullptr;   ///< [E, panels, groups, cols]
  int64_t bits = 0, group = 0;     ///< 8 or 4; k per scale, a multiple of 64
};

/// Stacked weights [E, lanes, k] (as nn.Linear keeps them: outputs × inputs), E biases of `lanes` values, or null. `packed`: the panels that
/// pack_weights() makes, or null: then panels are packed on the way, at 2·sizeof(T) bytes of cache traffic per weight and use.
template <class T>
struct FfnWeight {
  const T* data = nullptr;
  const typename SumOf<T>::type* bias = nullptr;
  const T* packed = nullptr;
  FfnCodes quantised = {};  ///< then data and packed are not read (forward only)
  bool given() const { return data != nullptr || quantised.codes != nullptr; }
};

/// Rows r of expert e are offsets[e] … offsets[e + 1] - 1 and stand for token[r] with weight[r]; N = offsets[E].
template <class T>
struct FfnProblem {
  using Sum = typename SumOf<T>::type;
  int64_t experts = 0, in = 0, hidden = 0, out = 0, tokens = 0;
  const int64_t *offsets = nullptr, *token = nullptr;
  const Sum* weight = nullptr;
  const T* x = nullptr;             ///< [tokens, in]
  FfnWeight<T> gate, up, down;      ///< [E, hidden, in] (gate.data null: no GLU), [E, hidden, in], [E, out, hidden]
  Activation activation = Activation::silu;
};

/// What the forward pass leaves for the backward pass, each [N, hidden]; null places are not written.
template <class T>
struct FfnKept {
  T *gate = nullptr, *up = nullptr;
};

/// Where gradients go; null places are not computed. All are overwritten; experts without rows get exact zeros.
template <class T>
struct FfnGradients {
  using Sum = typename SumOf<T>::type;
  Sum *x = nullptr, *weight = nullptr;                                   ///< [tokens, in], [N]
  T *gate = nullptr, *up = nullptr, *down = nullptr;                     ///< as the weights
  Sum *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;    ///< as the biases
};

/// The levels that one call uses. Both tables are of T.
template <class T>
struct FfnLevel {
  const GemmTable<T>* gemm = nullptr;
  const FfnRowsTable<T>* rows = nullptr;
};

/// Memory of a call, handed in by the caller so that it can be reused: at least `bytes` bytes aligned to 64.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual void* take(int64_t bytes) = 0;
};

/// y [tokens, out] (overwritten; tokens without rows get zeros) = Σ_r weight_r · expert(x_token(r)), over a token's rows in the order of experts.
/// Math:   h = f(x·gateᵀ + b)·(x·upᵀ + b) or f(x·upᵀ + b); expert = h·downᵀ + b.
/// Cost:   2·N·hidden·(2·in + out) flop (GLU); weights of experts with rows are read once; three barriers.
/// Memory: sizeof(T)·N·(in + hidden) bytes in panels of A, and workers·≤ 3 MB of tiles.
template <class T>
void ffn_forward(const FfnLevel<T>& level, const FfnProblem<T>& p, typename SumOf<T>::type* y, FfnKept<T> kept, Team& team, Memory& memory);

/// Gradients from that of y, dy [tokens, out], as T.
/// Math:   d = dy_token·down; dw = Σ d·h; (dgate, dup) through f; dx = dgate·gate + dup·up; weight gradients Σ over the expert's rows in order.
/// Cost:   twice the forward's flop; four barriers. `kept` as the forward left it.
/// Memory: sizeof(T)·N·(out + 5·hidden) bytes (3·hidden without GLU), and workers·≤ 3 MB of tiles.
template <class T>
void ffn_backward(const FfnLevel<T>& level, const FfnProblem<T>& p, FfnKept<const T> kept, const T* dy, const FfnGradients<T>& to, Team& team,
                  Memory& memory);

/// Only the first phase of the forward pass, for a backward pass that recomputes.
template <class T>
void ffn_recompute(const FfnLevel<T>& level, const FfnProblem<T>& p, FfnKept<T> kept, Team& team, Memory& memory);

/// Values of T that the panels of a stacked weight [experts, lanes, k] take.
template <class T>
int64_t packed_size(const GemmTable<T>& gemm, int64_t experts, int64_t lanes, int64_t k);
/// Panels for FfnWeight::packed. They hold for this table only.
template <class T>
void pack_weights(const GemmTable<T>& gemm, const T* data, int64_t experts, int64_t lanes, int64_t k, T* packed, Team& team);

/// Bytes of codes and number of scales of quantised panels of [experts, lanes, k].
template <class T>
struct QuantisedSize {
  int64_t code_bytes, scales;
};
template <class T>
QuantisedSize<T> quantised_size(const GemmTable<T>& gemm, int64_t experts, int64_t lanes, int64_t k, int64_t bits, int64_t group);
/// Orders codes [experts, lanes, k] (int8, of 4 bits from -8 to 7) and scales [experts, lanes, groups] for this table.
template <class T>
void quantise_panels(const GemmTable<T>& gemm, const int8_t* codes, const float* scales, int64_t experts, int64_t lanes, int64_t k, int64_t bits,
                     int64_t group, uint8_t* to_codes, float* to_scales, Team& team);

}  // namespace gw::kernels
