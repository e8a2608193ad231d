#pragma once
// Derivatives of the log density by the free parameters, row by row.
#include <vector>

#include "gatewright/likelihood/parameter_codec.h"

namespace gw::likelihood {

/// out[j] = d log p(y | x) / d θ_j, in the order of to_vector. Not defined on the borders of top-k gates and
/// where a Laplace residual is zero (0 is returned).
void score(const MixtureSpec& spec, const MixtureParameters& parameters, const double* x, double y,
           double* out);

/// Sums over rows with score s_i and weight w_i.
struct ScoreSums {
  std::vector<double> gradient;  ///< Σ w s
  std::vector<double> outer;     ///< products, full symmetric; empty for kNone
};
enum class Products { kNone, kWeighted };  ///< none, Σ w s s'
ScoreSums score_sums(const MixtureSpec& spec, const MixtureParameters& parameters, const DataView& data,
                     Products products);

}  // namespace gw::likelihood
