#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace gw::inline models {

/// Shapley values of one row by their definition: the weighted mean over all subsets of what an input adds.
/// `value` maps rows [m, D] to [m]; inputs outside a subset are at `mean` [D].
/// Math:   φ_j = Σ_S |S|! (D − |S| − 1)! / D! · (f(S ∪ j) − f(S)).
/// Errors: ValueError for more than 20 inputs.
/// Cost:   2^D rows through `value`.
/// Source: Shapley 1953, "A value for n-person games".
at::Tensor shapley_values(const std::function<at::Tensor(const at::Tensor&)>& value, const at::Tensor& row,
                          const at::Tensor& mean);

}  // namespace gw::inline models
