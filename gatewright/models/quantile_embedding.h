#pragma once
// Numbers of a table as vectors that bend where the training examples lie.
#include <torch/nn/module.h>

#include "gatewright/base/rng.h"

namespace gw::inline models {

/// The piecewise-linear code of numbers between quantiles.
/// Math:   t_j = clamp((x − b_{j−1}) / (b_j − b_{j−1}), 0, 1) for the edges b_0 < … < b_k of a column; zero
///         for the bins j > k of a column with fewer different quantiles.
/// Shapes: x [B, F], lower and scale [F, T] → [B, F, T].
at::Tensor piecewise_linear(const at::Tensor& x, const at::Tensor& lower, const at::Tensor& scale);

/// A vector of `width` for each of F numbers: a line in the number, plus a broken line that bends at the
/// quantiles of the training examples.
/// Math:   e_f(x) = x·u_f + c_f + Σ_j t_fj(x)·V_fj, V = 0 at the start.
/// Shapes: x [B, F] → [B, F·width].
/// Buffers: `lower` and `scale` [F, bins], which checkpoints keep; until prepare() those of a normal
/// variable. Cost:   2·B·F·bins·width flop. Source: Gorishniy et al. 2022, arXiv 2203.05556, in the form "B"
/// of Gorishniy et al. 2025, arXiv
///         2410.24210; differs: the code is clamped at both ends, so that beyond the training examples only
///         the line goes on.
class QuantileEmbedding : public torch::nn::Module {
 public:
  /// Errors: ValueError unless every size is at least 1.
  QuantileEmbedding(int64_t numbers, int64_t bins, int64_t width, const Rng& rng);
  at::Tensor forward(const at::Tensor& x) const;
  /// Takes the edges from examples [n, F]: the quantiles at 0, 1/T, …, 1, equal ones once.
  /// Errors: ValueError for another number of columns, for no rows, and for values that are not finite.
  /// Cost:   one sort of every column.
  void prepare(const at::Tensor& x);

 private:
  void set_edges(int64_t number, const std::vector<double>& edges);
  int64_t bins_;
  at::Tensor lower_, scale_;         // buffers
  at::Tensor slope_, start_, bend_;  // [F, width], [F, width], [F, bins, width]
};

}  // namespace gw::inline models
