#pragma once
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// Σ v² over all elements, in f64, the same bits for any number of threads.
/// Shapes: any; undefined counts as zero.
/// Cost:   one reading and a copy in f64 of 16 384 elements at a time.
double squared_norm(const at::Tensor& values);

}  // namespace gw::ops
