#include "gatewright/ops/interval.h"

#include <ATen/ATen.h>

#include <array>

#include "gatewright/base/check.h"

namespace gw::ops {
namespace {

/// γ_n of f32; a millionth more covers the rounding of these bounds themselves in f64.
double rounding_of(int64_t terms) {
  constexpr double kUnit = 0x1p-24 * (1 + 1e-6);
  const double n = static_cast<double>(terms) * kUnit;
  return n / (1 - n);
}

/// The radius of x, and as much more as `terms` roundings of values of its size.
at::Tensor widened(const Interval& x, int64_t terms) {
  return x.radius + rounding_of(terms) * (x.centre.abs() + x.radius);
}

}  // namespace

at::Tensor Interval::low() const { return centre - radius; }
at::Tensor Interval::high() const { return centre + radius; }

Interval pixel_ball(const at::Tensor& x, const at::Tensor& radius) {
  GW_CHECK(radius.dim() == 1 && radius.size(0) == x.size(0),
           "interval: expected a radius for each of {} images, got {}", x.size(0), c10::str(radius.sizes()));
  const auto exact = radius.to(x.scalar_type()).view({-1, 1, 1, 1});
  const auto wide = at::where(exact.gt(0), exact * (1 + 0x1p-20) + 0x1p-23, exact);
  const auto low = (x - wide).clamp(0, 1), high = (x + wide).clamp(0, 1);
  return {(low + high) / 2, (high - low) / 2};
}

Interval interval_conv2d(const Interval& x, const at::Tensor& weight, const at::Tensor& bias,
                         ConvShape shape) {
  const std::array<int64_t, 2> stride{shape.stride, shape.stride}, padding{shape.padding, shape.padding};
  const int64_t terms = weight.numel() / weight.size(0) + 1;
  const auto type = x.centre.scalar_type();
  const auto w = weight.to(type), b = bias.to(type);
  return {at::conv2d(x.centre, w, b, stride, padding),
          at::conv2d(widened(x, terms), w.abs(), rounding_of(terms) * b.abs(), stride, padding)};
}

Interval interval_relu(const Interval& x) {
  const auto low = x.low().relu(), high = x.high().relu();
  return {(low + high) / 2, (high - low) / 2};
}

Interval interval_pool(const Interval& x, int64_t size) {
  const auto side = [&](int64_t d) { return (x.centre.size(d) + size - 1) / size + 1; };
  const int64_t terms = side(2) * side(3) + 1;
  return {at::adaptive_avg_pool2d(x.centre, {size, size}).flatten(1),
          at::adaptive_avg_pool2d(widened(x, terms), {size, size}).flatten(1)};
}

at::Tensor interval_leads(const Interval& x, const at::Tensor& weight, const at::Tensor& bias,
                          const at::Tensor& first) {
  const auto type = x.centre.scalar_type();
  const auto w = weight.to(type), b = bias.to(type);
  const auto own = w.index_select(0, first), own_bias = b.index_select(0, first).unsqueeze(1);
  const auto ahead = own.unsqueeze(1) - w.unsqueeze(0);  // [B, E, F]
  const auto size = own.abs().unsqueeze(1) + w.abs().unsqueeze(0);
  const double rounding = rounding_of(w.size(1) + 1);
  const auto column = [](const at::Tensor& rows) { return rows.unsqueeze(2); };
  const auto largest = x.centre.abs() + x.radius;
  const auto lead = at::bmm(ahead, column(x.centre)).squeeze(2) + own_bias - b;
  const auto slack = at::bmm(ahead.abs(), column(x.radius)).squeeze(2) +
                     rounding * (at::bmm(size, column(largest)).squeeze(2) + own_bias.abs() + b.abs());
  return (lead - slack).scatter(1, first.unsqueeze(1), 0.0);
}

}  // namespace gw::ops
