#pragma once
#include <ATen/core/Tensor.h>

namespace gw::inline train {

/// The area under the receiver operating characteristic: the chance that a positive example scores above a
/// negative one, ties half.
/// Shapes: score [n], any float; positive [n] bool. NaN where all are of one kind.
/// Cost:   one sort.
/// Errors: ValueError for other shapes.
double area_under_curve(const at::Tensor& score, const at::Tensor& positive);

}  // namespace gw::inline train
