#pragma once
#include <ATen/core/Tensor.h>

namespace gw::inline models {

/// How far from even the classes' probabilities are, in two ways: 1 where one class has all, 0 where all are
/// even.
/// Math:   p = softmax(z) over C classes; v = Var(p) / Var(one-hot), population variances over the classes;
///         h = 1 − H(p) / ln C.
/// Shapes: logits [B, C], C ≥ 2 → [B, 2]: v, h.
/// Grad:   logits.
/// Source: Mowst (Zeng et al. 2024, arXiv 2311.05185).
at::Tensor dispersion(const at::Tensor& logits);

}  // namespace gw::inline models
