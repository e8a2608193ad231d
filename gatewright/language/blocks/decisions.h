#pragma once
// What layers that decide need of a pass.
#include "gatewright/routing/inputs.h"
#include "gatewright/routing/pass.h"
#include "gatewright/routing/plan.h"

namespace gw::inline language {

/// What routers of a pass see, and the plans that they made so far.
struct Decisions {
  const Pass& pass;
  RouterInputs& inputs;
  std::vector<SitedPlan>& plans;
};

}  // namespace gw::inline language
