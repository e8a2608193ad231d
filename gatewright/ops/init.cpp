#include "gatewright/ops/init.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/ops/random.h"

namespace gw::ops {

at::Tensor kaiming_conv(const Rng& rng, int64_t out, int64_t in, int64_t kernel) {
  const double deviation = std::sqrt(2.0 / static_cast<double>(out * kernel * kernel));
  return normal(rng, {out, in, kernel, kernel}, 0, deviation).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor default_uniform(const Rng& rng, at::IntArrayRef shape) {
  int64_t fan_in = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
  const double bound = 1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(fan_in, 1)));
  const auto values = uniform(rng, shape, -bound, bound);
  return shape.size() == 4 ? values.contiguous(at::MemoryFormat::ChannelsLast) : values;
}

}  // namespace gw::ops
