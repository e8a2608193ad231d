#include "gatewright/models/copies.h"

#include <ATen/ATen.h>

#include <vector>

namespace gw::inline models {

at::Tensor copies_of(const at::Tensor& value, at::IntArrayRef sizes) {
  const auto dimensions = static_cast<size_t>(value.dim());
  const bool several = dimensions > 0 && dimensions == sizes.size() && value.size(0) > 0 &&
                       sizes[0] > value.size(0) && sizes[0] % value.size(0) == 0;
  if (!several) return value;
  std::vector<int64_t> times(dimensions, 1);
  times[0] = sizes[0] / value.size(0);
  return value.repeat(times);
}

}  // namespace gw::inline models
