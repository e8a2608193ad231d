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

at::Tensor slices_of(const at::Tensor& value, at::IntArrayRef sizes) {
  const auto dimensions = value.dim();
  if (dimensions < 2 || dimensions != static_cast<int64_t>(sizes.size()) || value.size(0) != 1) return value;
  const int64_t parts = sizes[0];
  int64_t cut = -1;
  for (int64_t d = 1; d < dimensions; ++d) {
    if (value.size(d) == sizes[static_cast<size_t>(d)]) continue;
    if (cut >= 0 || value.size(d) != parts * sizes[static_cast<size_t>(d)]) return value;
    cut = d;
  }
  if (cut < 0) return parts == 1 ? value : copies_of(value / static_cast<double>(parts), sizes);
  return at::cat(value.chunk(parts, cut));
}

}  // namespace gw::inline models
