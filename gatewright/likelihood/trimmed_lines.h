#pragma once
#include "gatewright/base/rng.h"
#include "gatewright/likelihood/em.h"

namespace gw::likelihood {

/// A start of experts that keep their own widths: each in turn is a line through as many random rows as it
/// has coefficients, pulled twice to the rows next to it (the concentration steps of Rousseeuw and Van
/// Driessen 2006), of which it sees a random share between a tenth and all of n / experts. Rows within 2.5 of
/// its deviations are taken; the last expert gets what is left. Gates are constant.
MixtureParameters trimmed_lines(const EmProblem& problem, const Rng& rng);

/// The end of a run with a random trimmed line in place of one expert's own; gates are constant and stand for
/// what experts held.
MixtureParameters replaced_line(const EmProblem& problem, const EmRun& run, int64_t expert, const Rng& rng);

}  // namespace gw::likelihood
