#pragma once
// B-splines of every value on one uniform grid, and the layers that are made of them.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"

namespace gw::ops {

/// A uniform grid over [−range, range] of `grid` intervals, `order` of the splines on it (3: cubic).
struct SplineGrid {
  int64_t grid = 3, order = 3;
  double range = 1;
  int64_t splines() const { return grid + order; }
};

/// The options "grid", "order" and "range" of a part that is made of splines.
void visit_grid(OptionVisitor& v, SplineGrid& grid);
/// Weights [..., out, in] by Glorot: U(−b, b), b = √(6 / (in + out)).
at::Tensor glorot_uniform(const Rng& rng, at::IntArrayRef shape);

/// The B-splines at every value, by the recursion of Cox and de Boor on the grid with `order` more knots on
/// either side: they add up to 1 on the grid, its right edge included, and vanish `order` intervals outside.
/// Shapes: x [N, F] → [N, F·splines()], those of a value side by side.
/// Grad:   of x; 0 where x lies far outside.
/// Cost:   about 4·N·F·(grid + order)·order flop, with as many values kept.
at::Tensor b_splines(const at::Tensor& x, const SplineGrid& grid);

/// A layer of a Kolmogorov-Arnold network.
/// Math:   y = W_b φ(x) + W_s B(x), B as above; without W_s the splines are left out.
/// Shapes: x and φ(x), `activated`, [N, F]; base [O, F], spline [O, F·splines()] → [N, O].
at::Tensor kan_layer(const at::Tensor& x, const at::Tensor& activated, const at::Tensor& base,
                     const at::Tensor& spline, const SplineGrid& grid);

/// The weights of a gated residual block over h hidden values.
struct GatedResidualWeights {
  at::Tensor base1, spline1, base2, spline2;  ///< [h, D], [h, D·s], [h, h], [h, h·s]; splines undefined: a
                                              ///< network of dense layers (GRN)
  at::Tensor skip, skip_bias;                 ///< [O, D], [O]
  at::Tensor value, value_bias, gate, gate_bias;  ///< [O, h], [O]
  at::Tensor norm, norm_bias;                     ///< [O]
};

/// A gated residual block: two layers whose answer a gate may close, beside a linear one, normalised.
/// Math:   u = K₂(K₁(x)), K Kolmogorov-Arnold layers with base ELU and ReLU; y = LayerNorm(W_skip x + c +
///         (W₁u + c₁) ∘ σ(W₂u + c₂)). Without splines u = W (ELU(V x)), the dense twin (GRN).
/// Shapes: x [N, D] → [N, O].
/// Source: Inzirillo and Genet 2024, arXiv 2409.15161 (GRKAN), as its published code has it; differs: splines
///         include the right edge of the grid, dense layers have no bias.
at::Tensor gated_residual(const at::Tensor& x, const GatedResidualWeights& weights, const SplineGrid& grid);

}  // namespace gw::ops
