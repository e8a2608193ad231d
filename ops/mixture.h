#pragma once
// The kernels of likelihood mixtures behind argument checks. No tensors: columns of doubles, rows a multiple of kMixtureLanes.
#include <cstdint>

namespace gw::ops {

inline constexpr int64_t kMixtureLanes = 8;

/// Columns of one block of rows: `count` pointers to `rows` doubles each.
struct MixtureColumns {
  const double* const* column = nullptr;
  int64_t count = 0, rows = 0;
};

// What each does is said in kernels/mixture/mixture.h. Errors: ValueError if rows is no multiple of kMixtureLanes.

/// out[r] = bias + Σ_j coefficient[j]·column_j[r].
void mixture_linear(const MixtureColumns& columns, double bias, const double* coefficient, double* out);
/// In place: means become log normal densities, constant - ½((y - mean)·inverse_scale)².
void mixture_gaussian(const double* y, int64_t rows, double constant, double inverse_scale, double* out);
/// In place: scores become probabilities, log densities become posteriors times weight; returns the weighted log-likelihood.
double mixture_posterior(double* score, double* joint, int64_t stride, int64_t experts, const double* weight, int64_t rows);
/// out = posterior - weight·probability.
void mixture_residual(const double* posterior, const double* weight, const double* probability, int64_t rows, double* out);
/// out = weight·p·(1 - p), or -weight·p·other.
void mixture_information(const double* weight, const double* probability, const double* other, int64_t rows, double* out);
/// sum[j] += Σ_r weight·column_j.
void mixture_sums(const double* weight, const MixtureColumns& columns, double* sum);
/// moment[i(i+1)/2 + j] += Σ_r weight·column_i·column_j, j <= i.
void mixture_moments(const double* weight, const MixtureColumns& columns, double* moment);
/// The same for `many` weights `stride` apart; their moments follow one another.
void mixture_moments(const double* weights, int64_t stride, int64_t many, const MixtureColumns& columns, double* moment);

}  // namespace gw::ops
