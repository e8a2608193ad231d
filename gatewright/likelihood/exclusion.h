#pragma once
// Rules by which the end of a start is left out although its likelihood is high.
#include <string>
#include <vector>

#include "gatewright/likelihood/em.h"
#include "gatewright/likelihood/fit.h"

namespace gw::likelihood {

/// Rows that each expert holds: what weights add up to, in units of a row.
std::vector<double> rows_held(const Design& design, const EmRun& run);

/// The first rule that leaves the run out. `data`: the rows of the problem, in their own units. Cost: a pass
/// over the rows where a scale is narrow.
Exclusion exclusion_of(const EmProblem& problem, const EmRun& run, const DataView& data);
bool excluded(const EmProblem& problem, const EmRun& run, const DataView& data);

/// The rule that left a run out, with its value, and the option that changes it.
std::string rule_text(const EmProblem& problem, const EmRun& run, Exclusion why);

}  // namespace gw::likelihood
