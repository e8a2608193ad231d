#pragma once
// What a fit is worth: standard errors, criteria, cross-validation, a canonical order of the experts.
#include <optional>
#include <string>
#include <vector>

#include "gatewright/likelihood/fit.h"
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/score.h"

namespace gw::likelihood {

/// Standard errors of the free parameters, in natural units (a scale's own, not its logarithm's). A weight
/// counts rows: weight 2 is the same as the row twice, here and everywhere.
struct Inference {
  std::vector<FreeParameter> parameter;
  std::vector<double> estimate;
  /// From the observed information, and the sandwich, which holds when the model is wrong. Absent for a
  /// parameter that the data do not determine (the steepness of a top-1 gate, temperature and slopes of a
  /// linear dense-to-sparse gate) and where the likelihood rises without bound (a separated gate or class).
  /// The sandwich is absent, too, for what rests on one row alone: its residual is 0 whatever the noise is.
  std::vector<std::optional<double>> error, robust_error;
  Matrix covariance;         ///< [size, size] of estimates, 0 in rows without an error
  Matrix robust_covariance;  ///< likewise
  /// covariance = factor factor' over the determined directions, before rows are set to 0. Where x is far
  /// from zero, g' factor keeps the digits that g' covariance g loses.
  Matrix factor;
  /// Directions that the data do not determine, one a row, of length 1 in standardised coordinates.
  std::vector<std::vector<double>> undetermined;
  std::vector<std::string> warnings;
};

/// Math:   information J = -Σ w ∂² log p, analytic, in centred and scaled coordinates; covariance J⁻¹ on the
///         determined directions, taken to natural units by the linear map between the two; sandwich J⁻¹ (Σ w
///         s s') J⁻¹. Logarithms by the delta method.
///         Laplace experts: their density has a kink, whose part of J is its expectation under the model, and
///         a kernel estimate in the sandwich. A direction counts as separated where one Newton step of the
///         likelihood, without the ridge that ended the fit, would still move a score of the gate or a class
///         by more than 0.1; class responses of one expert are decided exactly
///         (gatewright/likelihood/separation.h).
/// Cost:   one pass over the rows (two for Laplace), P² a row for P free parameters.
Inference infer(const FitResult& fit, const DataView& data,
                const std::vector<std::string>& column_names = {});

/// Smaller is better in all three.
struct Criteria {
  double log_likelihood = 0;
  int64_t parameters = 0;
  double aic = 0;
  double bic = 0;  ///< n is the sum of the weights
  double icl = 0;  ///< bic + 2·entropy of the responsibilities (Biernacki, Celeux, Govaert 2000)
  double entropy = 0;
};
Criteria criteria(const FitResult& fit, const DataView& data);

/// Held-out log density per unit of weight: its mean over folds and the standard error of that mean.
struct CrossValidation {
  double mean = 0, error = 0;
  std::vector<double> fold;
};
/// Folds are a seeded permutation's. Errors: ValueError unless 2 <= folds <= rows, or if a fold cannot be
/// fitted.
CrossValidation cross_validate(const DataView& data, const MixtureSpec& spec, int64_t folds, uint64_t seed,
                               const FitOptions& options = {});

/// Experts are known up to their order. The canonical one: ascending prediction (first class's predictor) at
/// the mean of x. Last is the gate's reference. With an activated temperature gate the reference is part of
/// the model and stays last.
std::vector<int64_t> canonical_order(const FitResult& fit, const DataView& data);
/// Expert order[i] becomes expert i; the last gate is pinned to zero again.
MixtureParameters reorder(const MixtureSpec& spec, const MixtureParameters& parameters,
                          const std::vector<int64_t>& order);

}  // namespace gw::likelihood
