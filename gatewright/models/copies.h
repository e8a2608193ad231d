#pragma once
// One pathway's weights for several experts.
#include <ATen/core/Tensor.h>

namespace gw::inline models {

/// `value` repeated along its first dimension to fill `sizes`, where those are a multiple of it: one
/// pathway's tensor for each of several experts. Else the value itself.
at::Tensor copies_of(const at::Tensor& value, at::IntArrayRef sizes);

/// `value` [1, …] cut into sizes[0] equal parts along the dimension in which the rest of `sizes` is smaller:
/// hidden units of a perceptron that several experts share. Where no other dimension differs the part is
/// value / sizes[0], a term that the sum of all experts has once. Else the value itself.
/// Source: the equivalent decomposition of Yang et al. 2025, arXiv 2503.02495.
at::Tensor slices_of(const at::Tensor& value, at::IntArrayRef sizes);

}  // namespace gw::inline models
