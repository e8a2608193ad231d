#pragma once
// Bounds that hold for every image of a ball, carried through the layers of a small network.
#include <ATen/core/Tensor.h>

#include "gatewright/ops/conv.h"

namespace gw::ops {

/// Every value lies within `radius` of `centre`, elementwise. Gradients flow through both.
/// Bounds speak of what is *computed*, not of real numbers: each layer adds the rounding error that f32
/// arithmetic may make in whatever order it sums, |error| ≤ γ_n Σ |terms|, γ_n = n·u / (1 − n·u), u = 2⁻²⁴
/// (Higham 2002, section 3.1; not for transformed convolutions such as Winograd's). Carried in f64 they are
/// therefore safe for the same layers in f32; in f32 they are good enough to train with.
/// Source: Gowal et al. 2018, arXiv 1810.12715 (interval bound propagation); the rounding is ours.
struct Interval {
  at::Tensor centre, radius;
  at::Tensor low() const;
  at::Tensor high() const;
};

/// All images within radius[b] of x[b] in every pixel, inside [0, 1], and what rounding x ± radius to f32
/// adds. Shapes: x [B, C, H, W] in [0, 1], radius [B] → [B, C, H, W]. A radius of 0: x itself.
Interval pixel_ball(const at::Tensor& x, const at::Tensor& radius);
/// conv(x, weight) + bias. Shapes: as conv2d. Cost: two convolutions.
Interval interval_conv2d(const Interval& x, const at::Tensor& weight, const at::Tensor& bias,
                         ConvShape shape);
/// max(x, 0).
Interval interval_relu(const Interval& x);
/// Means of size×size windows that cover the map, flattened: [B, C, H, W] → [B, C·size²].
Interval interval_pool(const Interval& x, int64_t size);

/// Lower bounds of the lead of one row of x Wᵀ + b over each other, for all x of the interval: the difference
/// is bounded, not the two scores, which is tighter and for x itself exact.
/// Math:   lead_bj = min_x (w_first − w_j)·x + b_first − b_j; 0 at j = first.
/// Shapes: x [B, F], weight [E, F], bias [E], first [B] int64 → [B, E]. Cost: 2·B·E·F multiply-adds.
at::Tensor interval_leads(const Interval& x, const at::Tensor& weight, const at::Tensor& bias,
                          const at::Tensor& first);

}  // namespace gw::ops
