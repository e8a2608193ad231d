#pragma once
#include "base/rng.h"
#include "stats/em.h"

namespace gw::stats {

/// Where a run begins. Random starts are, in turn, cells around random rows and regressions through as many random rows as they have
/// coefficients; k-means works on inputs, gate's inputs and response together; small-EM takes the best of several random starts
/// after a few iterations (Biernacki, Celeux, Govaert 2003).
MixtureParameters start_parameters(const EmProblem& problem, StartKind kind, const Rng& rng);

}  // namespace gw::stats
