#pragma once
// The arithmetic of expectation and maximisation for softmax gates, on blocks of rows that stay in the first
// caches.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

/// Rows are padded to a multiple of this with weight 0: no level has a path for left-over rows.
inline constexpr int64_t kEmLanes = 8;

/// One level. A column is `rows` doubles, rows a multiple of kEmLanes; `columns` points to `count` of them.
struct EmTable {
  /// out[r] = bias + Σ_j coefficient[j]·columns[j][r].
  void (*linear)(const double* const* columns, int64_t count, int64_t rows, double bias,
                 const double* coefficient, double* out);

  /// Logarithms of normal densities: out[r] = constant - ½·((y[r] - out[r])·inverse_scale)², at least -1e300;
  /// `out` holds the means.
  void (*gaussian)(const double* y, int64_t rows, double constant, double inverse_scale, double* out);

  /// Scores and log densities, expert after expert `stride` apart, become probabilities and posteriors times
  /// weight, in place.
  /// Math:   p_k = softmax(score)_k; t_k = w·p_k f_k / Σ_l p_l f_l with log f = joint on entry; returns Σ_r w
  ///         log Σ_k p_k f_k. A score of -infinity gives 0 and 0; at least one score per row is finite, and
  ///         no log density is NaN.
  /// Cost:   2 exponentials per expert and row (one less where the last score is 0), a division per row; 2
  ///         logarithms per 32 rows where weights are 0 or 1, else per row.
  double (*posterior)(double* score, double* joint, int64_t stride, int64_t experts, const double* weight,
                      int64_t rows);

  /// out[r] = posterior[r] - weight[r]·probability[r].
  void (*residual)(const double* posterior, const double* weight, const double* probability, int64_t rows,
                   double* out);

  /// Weights of one block of the softmax's information: out[r] = w·p·(1 - p), or -w·p·other with `other`
  /// given.
  void (*information)(const double* weight, const double* probability, const double* other, int64_t rows,
                      double* out);

  /// sum[j] += Σ_r weight[r]·columns[j][r].
  void (*sums)(const double* weight, const double* const* columns, int64_t count, int64_t rows, double* sum);

  /// For each of `many` weights, `stride` apart, with results `apart`: moment[i(i+1)/2 + j] += Σ_r
  /// weight[r]·columns[i][r]·columns[j][r], j <= i.
  /// Cost:   count·(count+1)/2 multiply-adds per row and weight; three or four weights share the products of
  ///         columns.
  void (*moments)(const double* weights, int64_t stride, int64_t many, const double* const* columns,
                  int64_t count, int64_t rows, double* moment, int64_t apart);
};

extern const EmTable em_ref;
#if defined(__x86_64__)
extern const EmTable em_avx2;
extern const EmTable em_avx512;
#endif

}  // namespace gw::kernels
