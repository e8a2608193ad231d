#pragma once
// First and second derivatives of one expert's log density by its own predictors, log scale and log degrees
// of freedom.
#include <vector>

#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// How many such coordinates an expert has: outputs, then the scale, then the degrees of freedom.
int64_t expert_coordinates(const MixtureSpec& spec);

/// `first` [c], `second` [c, c]. Laplace: without the kink at a residual of zero.
void expert_derivatives(const MixtureSpec& spec, const MixtureParameters& parameters, int64_t expert,
                        const double* predictor, double y, double* first, double* second);

}  // namespace gw::likelihood
