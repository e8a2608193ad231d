#pragma once
#include "routing/plan.h"

namespace gw {

/// Rows per expert, [E] float of the scores' type; a constant (no gradient).
at::Tensor load(const RoutingPlan& plan);
/// Entropy of the load divided by ln E: 1 when even, 0 when all rows go to one expert; 1 for E = 1, 0 rows.
double load_entropy(const RoutingPlan& plan);

}  // namespace gw
