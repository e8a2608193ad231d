#pragma once
// The kernels of likelihood mixtures behind argument checks. No tensors: columns of doubles, rows a multiple
// of kEmLanes.
#include <cstdint>

namespace gw::ops {

inline constexpr int64_t kEmLanes = 8;

/// Columns of one block of rows: `count` pointers to `rows` doubles each.
struct EmColumns {
  const double* const* column = nullptr;
  int64_t count = 0, rows = 0;
};

// What each does is said in gatewright/kernels/em/em.h. Errors: ValueError if rows is no multiple of
// kEmLanes.

/// out[r] = bias + Σ_j coefficient[j]·column_j[r].
void em_linear(const EmColumns& columns, double bias, const double* coefficient, double* out);
/// In place: means become log normal densities, constant - ½((y - mean)·inverse_scale)².
void em_gaussian(const double* y, int64_t rows, double constant, double inverse_scale, double* out);
/// In place: scores become probabilities, log densities become posteriors times weight; returns the weighted
/// log-likelihood.
double em_posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight,
                    int64_t rows);
/// out = posterior - weight·probability.
void em_residual(const double* posterior, const double* weight, const double* probability, int64_t rows,
                 double* out);
/// out = weight·p·(1 - p), or -weight·p·other.
void em_information(const double* weight, const double* probability, const double* other, int64_t rows,
                    double* out);
/// sum[j] += Σ_r weight·column_j.
void em_sums(const double* weight, const EmColumns& columns, double* sum);
/// moment[i(i+1)/2 + j] += Σ_r weight·column_i·column_j, j <= i.
void em_moments(const double* weight, const EmColumns& columns, double* moment);
/// The same for `many` weights `stride` apart; their moments follow one another.
void em_moments(const double* weights, int64_t stride, int64_t many, const EmColumns& columns,
                double* moment);

}  // namespace gw::ops
