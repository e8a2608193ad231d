#include "gatewright/ops/first_order.h"

#include <ATen/core/grad_mode.h>

#include "gatewright/base/check.h"

namespace gw::ops {

void check_first_order(const char* part) {
  GW_CHECK(!at::GradMode::is_enabled(),
           "{}: expected a first-order backward pass, got create_graph; it has no second derivatives", part);
}

}  // namespace gw::ops
