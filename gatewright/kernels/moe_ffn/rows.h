#pragma once
// What a feed-forward expert does to rows between its products: activation, its derivative, weighted scatter.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include "gatewright/kernels/activations/unit.h"
#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

namespace gw::kernels {

/// f(x) of the inner product, alone or times a second product (GLU: f(gate)·up): those that are part of the
/// row loops. All others are rows of the catalogue (RowUnit).
enum class Activation { identity, relu, relu_squared, sigmoid, tanh, silu, quick_gelu, gelu, gelu_tanh };

/// Which activation a row takes: one of the above, or `rows` of the catalogue with their parameters.
template <class S>
struct RowUnit {
  Activation fast = Activation::silu;
  const UnitRows<S>* rows = nullptr;
  const S* parameters = nullptr;
  int count = 0;  ///< of parameters
  RowUnit() = default;
  RowUnit(Activation f) : fast(f) {}  // NOLINT: a fast one needs no more than its name
};

/// What a GLU's factors are held to, where `given`: f(min(gate, limit))·(max(-limit, min(up, limit)) +
/// shift), as GPT-OSS has it. Beyond a bound the derivative is zero, on it that of the inside.
struct GluBounds {
  bool given = false;
  double limit = 0, shift = 0;  ///< limit: infinity for none
};

/// One level. Rows of n values; sums are f32 (f64 for double), what is kept is T.
template <class T>
struct FfnRowsTable {
  using Sum = typename SumOf<T>::type;
  /// h = f(gate)·up within the bounds, or f(up) when gate is null. Copies of gate and up, unbounded, as T
  /// when their places are not null.
  void (*activate)(const RowUnit<Sum>& f, const GluBounds& bounds, const Sum* gate, const Sum* up, int64_t n,
                   T* h, T* saved_gate, T* saved_up);
  /// With d the gradient of the expert's output through the second product, before the routing weight w:
  /// weighted = w·h, d_up = w·d·f(gate), d_gate = w·d·up·f'(gate) (d_up = w·d·f'(up) when gate is null).
  /// Returns Σ d·h, w's gradient. `d_parameters`: where the f.count gradients of f's parameters go, or null.
  Sum (*activate_backward)(const RowUnit<Sum>& f, const GluBounds& bounds, const T* gate, const T* up,
                           const Sum* d, Sum w, int64_t n, T* weighted, T* d_gate, T* d_up,
                           Sum* d_parameters);
  /// y += w·c by fused multiply-add.
  void (*scatter)(const Sum* c, Sum w, int64_t n, Sum* y);
  /// to = c as T; `non_temporal`: as in combine().
  void (*narrow)(const Sum* c, int64_t n, T* to, bool non_temporal);
  /// to[r·stride] = Σ_j factor[r·k + j]·row[j], fused, in the order of j, for `rows` ≤ 4 rows of n values: a
  /// weight gradient over few rows, written once; `non_temporal`: past the caches, for what is larger than
  /// them (memory then moves it once, not twice).
  void (*combine)(const T* factor, int64_t rows, const T* const* row, int64_t k, int64_t n, T* to,
                  int64_t stride, bool non_temporal);
  /// After what was written past the caches and before another thread reads what it wrote.
  void (*store_fence)();
  /// to += w·row.
  void (*add)(const T* row, Sum w, int64_t n, Sum* to);
  /// Σ a·b.
  Sum (*dot)(const T* a, const Sum* b, int64_t n);
  /// n values in fixed point: to = nearest(x / scale), scale = max|x| / most, returned; total = Σ to. 0 for a
  /// stretch below 1e-30, NaN for one that is not finite.
  float (*quantise_row)(const T* x, int64_t n, float most, int16_t* to, int32_t& total);
};

extern const FfnRowsTable<double> ffn_rows_ref_f64;
extern const FfnRowsTable<float> ffn_rows_ref, ffn_rows_avx2, ffn_rows_avx512;
extern const FfnRowsTable<Bf16> ffn_rows_ref_bf16, ffn_rows_avx2_bf16, ffn_rows_avx512_bf16,
    ffn_rows_native_bf16;
extern const FfnRowsTable<float> ffn_rows_neon;
extern const FfnRowsTable<Bf16> ffn_rows_neon_bf16;

}  // namespace gw::kernels
