#pragma once
// One pathway's weights for several experts.
#include <ATen/core/Tensor.h>

namespace gw::inline models {

/// `value` repeated along its first dimension to fill `sizes`, where those are a multiple of it: one
/// pathway's tensor for each of several experts. Else the value itself.
at::Tensor copies_of(const at::Tensor& value, at::IntArrayRef sizes);

}  // namespace gw::inline models
