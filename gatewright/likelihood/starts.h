#pragma once
#include <functional>

#include "gatewright/base/rng.h"
#include "gatewright/likelihood/em.h"

namespace gw::likelihood {

using Valid = std::function<bool(const EmProblem&, const EmRun&)>;

/// Where run `turn` of a fit begins. Random starts are, in turn, cells around random rows and regressions
/// through as many random rows as they have coefficients; k-means works on inputs, gate's inputs and response
/// together; small-EM takes the best of several random starts after a few iterations (Biernacki, Celeux,
/// Govaert 2003). Mixed, the default, is of three kinds in turn: small-EM; small-EM among trimmed lines,
/// which keep experts of very different widths apart; and one random start that nothing has selected, since
/// the best of several after a few iterations is often the same maximum. `valid` says whether a run that
/// ended so would count: small-EM prefers those.
MixtureParameters start_parameters(const EmProblem& problem, StartKind kind, int64_t turn, const Rng& rng,
                                   const Valid& valid);

}  // namespace gw::likelihood
