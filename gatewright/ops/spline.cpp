#include "gatewright/ops/spline.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/random.h"

namespace gw::ops {

void visit_grid(OptionVisitor& v, SplineGrid& grid) {
  v.integer("grid", grid.grid, "intervals of the spline grid", 1, 1024);
  v.integer("order", grid.order, "of the splines; 3: cubic", 0, 16);
  v.real("range", grid.range, "the grid covers [-range, range]; splines are zero far outside", 1e-6, 1e6);
}

at::Tensor glorot_uniform(const Rng& rng, at::IntArrayRef shape) {
  const double both = static_cast<double>(shape[shape.size() - 1] + shape[shape.size() - 2]);
  const double bound = std::sqrt(6.0 / both);
  return uniform(rng, shape, -bound, bound);
}

at::Tensor b_splines(const at::Tensor& x, const SplineGrid& g) {
  GW_CHECK(x.dim() == 2 && g.grid >= 1 && g.order >= 0 && g.range > 0,
           "b_splines: expected rows [N, F], a grid of 1 interval or more and a range above 0, got {} "
           "dimensions, {} and {:g}",
           x.dim(), g.grid, g.range);
  const double step = 2 * g.range / static_cast<double>(g.grid);
  const int64_t knots = g.grid + 2 * g.order + 1;
  const auto knot = at::arange(knots, x.options()) * step - (g.range + static_cast<double>(g.order) * step);
  const auto distance = x.unsqueeze(2) - knot;  // [N, F, knots]
  // Half-open intervals, but for the grid's right edge, which belongs to the last one inside.
  const auto right = x.unsqueeze(2).eq(g.range);
  const auto edge = at::arange(knots - 1, at::kLong).eq(g.order + g.grid - 1);
  auto inside = distance.narrow(2, 0, knots - 1).ge(0).logical_and(distance.narrow(2, 1, knots - 1).lt(0));
  inside = inside.logical_and(right.logical_not()).logical_or(right.logical_and(edge));
  auto b = inside.to(x.scalar_type());
  for (int64_t p = 1; p <= g.order; ++p) {
    const int64_t count = knots - 1 - p;
    const double width = static_cast<double>(p) * step;
    const auto rising = distance.narrow(2, 0, count) / width,
               falling = distance.narrow(2, p + 1, count) / -width;
    b = rising * b.narrow(2, 0, count) + falling * b.narrow(2, 1, count);
  }
  return b.flatten(1);
}

at::Tensor kan_layer(const at::Tensor& x, const at::Tensor& activated, const at::Tensor& base,
                     const at::Tensor& spline, const SplineGrid& grid) {
  const auto y = ops::linear(activated, base, {});
  return spline.defined() ? y + ops::linear(b_splines(x, grid), spline, {}) : y;
}

at::Tensor gated_residual(const at::Tensor& x, const GatedResidualWeights& w, const SplineGrid& grid) {
  at::Tensor u;
  if (w.spline1.defined()) {
    const auto first = kan_layer(x, at::elu(x), w.base1, w.spline1, grid);
    u = kan_layer(first, at::relu(first), w.base2, w.spline2, grid);
  } else {
    u = ops::linear(at::elu(ops::linear(x, w.base1, {})), w.base2, {});
  }
  const auto gated = ops::linear(u, w.value, w.value_bias) * at::sigmoid(ops::linear(u, w.gate, w.gate_bias));
  return at::layer_norm(ops::linear(x, w.skip, w.skip_bias) + gated, w.skip.size(0), w.norm, w.norm_bias);
}

}  // namespace gw::ops
