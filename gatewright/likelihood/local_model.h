#pragma once
// What a mixture is at one x, and how it moves with its parameters.
#include <optional>
#include <vector>

#include "gatewright/likelihood/inference.h"

namespace gw::likelihood {

/// Gates and predictors of the experts at one x (not for classes), with their derivatives by the free
/// parameters in natural units, in the order of free_parameter_list.
struct LocalModel {
  std::vector<double> gate;  ///< prior probabilities [experts]
  std::vector<double> line;  ///< predictors [experts]
  /// Of the gates' scores, up to what all have in common, and of the predictors [experts][parameters].
  std::vector<std::vector<double>> score_by, line_by;

  double mean() const;
  /// Share of the mean that moves with each score: gate · (line - mean).
  std::vector<double> mean_by_score() const;
  /// Derivatives of the mean; scales and degrees of freedom do not move it.
  std::vector<double> mean_by() const;
};
/// `list`: the free parameters; empty where no derivative is asked for.
LocalModel local_model(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x,
                       const std::vector<FreeParameter>& list);

/// sqrt(g' C g); absent where g depends on what the data do not determine: where one standardised unit along
/// such a direction moves the quantity by more than a thousandth of its error.
std::optional<double> delta_error(const std::vector<double>& gradient, const Inference& inference);

/// g' factor: how a quantity with gradient g moves with independent standard normal variables.
std::vector<double> by_factor(const std::vector<double>& gradient, const Inference& inference);

}  // namespace gw::likelihood
