#pragma once
// Gradient and curvature of the log-likelihood, in the centred and scaled coordinates of a Design, by
// analytic derivatives.
#include <vector>

#include "gatewright/likelihood/design.h"
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/score.h"

namespace gw::likelihood {

/// Sums over rows with weight w; coordinates are those of free_parameter_list, logarithms where positive.
struct Information {
  std::vector<double> gradient;  ///< Σ w s
  Matrix outer;                  ///< Σ w s s'
  Matrix curvature;              ///< -Σ w ∂² log p
  /// What the sandwich takes in place of `curvature`. The density of Laplace experts has a kink at each row's
  /// prediction, which adds 2 t δ(y - η) / s to the curvature: its expectation under the model in
  /// `curvature`, a kernel estimate here. Else the same.
  Matrix robust_curvature;
};

/// `standard`: parameters in the coordinates of `design`. Cost: one pass, P² a row for P free parameters.
Information information(const MixtureSpec& spec, const MixtureParameters& standard, const Design& design);

/// The linear map from steps of the standardised parameters to steps of those in the units of the data,
/// [size, size]. Entries are products of means and scales: no difference of large numbers is taken.
Matrix to_data_map(const MixtureSpec& spec, const MixtureParameters& standard, const Design& design);

}  // namespace gw::likelihood
