#pragma once
// Directions of the parameters, sorted into what the data determine and what they do not.
#include <functional>
#include <optional>
#include <vector>

#include "gatewright/likelihood/fit.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/separation.h"

namespace gw::likelihood {

/// Whether the parameter belongs to a linear score of a gate or a class.
bool linear_score(const MixtureSpec& spec, const FreeParameter& free);

/// With a linear score slope over temperature is all that counts. The temperature is held, and no information
/// is asked of it: away from the exact maximum the likelihood's second derivatives along the ratio's
/// direction hold a term of the gradient, which is not information (at 1e-8 of a maximum, errors of the bias
/// were off by 5e-6, and Student's t lost all of them). Returns its place; the size if there is none.
size_t held_temperature(const MixtureSpec& spec, const std::vector<FreeParameter>& list);

/// Class responses of one expert are asked exactly (gatewright/likelihood/separation.h). Behind gates who
/// belongs to which expert is not known but estimated, and no such question exists: there, the likelihood's
/// own rise is the measure.
std::optional<Separation> exact_separation(const MixtureSpec& spec, const Design& design);

/// Directions of the standardised parameters, sorted into what the data determine and what they do not.
struct Directions {
  Matrix factor;  ///< J⁻¹ = factor factor' on the determined ones
  std::vector<std::vector<double>> undetermined;
  std::vector<bool> rising;  ///< for each of these: the likelihood rises along it
};

/// Gradient and curvature at other parameters, given as to_vector lists them.
using SumsAt = std::function<Information(const std::vector<double>&)>;

/// Where classes are separated with a gap, the border may also turn or move within it: such directions are
/// known by their information, which vanishes together with that of the ones that rise. `here`: the sums at
/// the estimate.
Directions directions_of(const FitResult& fit, const std::vector<FreeParameter>& list,
                         const std::vector<double>& at, const Design& design, Information here,
                         const SumsAt& sums_at, const std::optional<Separation>& exact);

/// Those of the undetermined directions along which the likelihood rises.
std::vector<std::vector<double>> rising_of(const Directions& directions);

}  // namespace gw::likelihood
