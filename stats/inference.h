#pragma once
// What a fit is worth: standard errors, criteria, cross-validation, a canonical order of the experts.
#include <optional>
#include <string>
#include <vector>

#include "stats/fit.h"
#include "stats/score.h"

namespace gw::stats {

/// Standard errors of the free parameters, in natural units (a scale's own, not its logarithm's).
struct Inference {
  std::vector<FreeParameter> parameter;
  std::vector<double> estimate;
  /// From the observed information, and the sandwich, which holds when the model is wrong. Absent for a parameter that the data do not
  /// determine: a separated gate, the steepness of a top-1 gate, temperature and slopes of a linear dense-to-sparse gate.
  std::vector<std::optional<double>> error, robust_error;
  std::vector<double> covariance;         ///< [size, size] of estimates, 0 in rows without an error
  std::vector<double> robust_covariance;  ///< likewise
  std::vector<std::string> warnings;
};

/// Math:   information J = -Σ w ∂²log p by central differences of the analytic score (Laplace experts: Σ w s s', their score jumps);
///         covariance J⁻¹ on the directions that are determined; sandwich J⁻¹ (Σ w² s s') J⁻¹. Logarithms by the delta method.
/// Cost:   2P + 2 passes over the rows for P free parameters.
Inference infer(const FitResult& fit, const DataView& data);

/// Smaller is better in all three.
struct Criteria {
  double log_likelihood = 0;
  int64_t parameters = 0;
  double aic = 0;
  double bic = 0;      ///< n is the sum of the weights
  double icl = 0;      ///< bic + 2·entropy of the responsibilities (Biernacki, Celeux, Govaert 2000)
  double entropy = 0;
};
Criteria criteria(const FitResult& fit, const DataView& data);

/// Held-out log density per unit of weight: its mean over folds and the standard error of that mean.
struct CrossValidation {
  double mean = 0, error = 0;
  std::vector<double> fold;
};
/// Folds are a seeded permutation's. Errors: ValueError unless 2 <= folds <= rows, or if a fold cannot be fitted.
CrossValidation cross_validate(const DataView& data, const MixtureSpec& spec, int64_t folds, uint64_t seed, const FitOptions& options = {});

/// Experts are known up to their order. The canonical one: ascending prediction (first class's predictor) at the mean of x. Last is the
/// gate's reference. With an activated temperature gate the reference is part of the model and stays last.
std::vector<int64_t> canonical_order(const FitResult& fit, const DataView& data);
/// Expert order[i] becomes expert i; the last gate is pinned to zero again.
MixtureParameters reorder(const MixtureSpec& spec, const MixtureParameters& parameters, const std::vector<int64_t>& order);

}  // namespace gw::stats
