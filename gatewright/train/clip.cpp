#include "gatewright/train/clip.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/squared_norm.h"

namespace gw::inline train {

void ClipOptions::fields(OptionVisitor& v) {
  v.real("router", router, "largest L2 norm of the router's gradient in a step; 0: no limit", 0, 1e12);
  v.real("experts", experts, "largest L2 norm of all other gradients in a step; 0: no limit", 0, 1e12);
}

std::vector<at::Tensor> clipped(const std::vector<at::Tensor>& gradients, const std::vector<bool>& of_router,
                                const ClipOptions& limits) {
  GW_ENSURE(gradients.size() == of_router.size(), "clip: {} gradients, {} parts", gradients.size(),
            of_router.size());
  auto out = gradients;
  for (const bool router : {true, false}) {
    const double limit = router ? limits.router : limits.experts;
    if (limit == 0) continue;
    double squares = 0;
    for (size_t i = 0; i < out.size(); ++i) squares += of_router[i] == router ? ops::squared_norm(out[i]) : 0;
    const double norm = std::sqrt(squares);
    if (norm <= limit) continue;
    for (size_t i = 0; i < out.size(); ++i) {
      if (of_router[i] == router && out[i].defined()) out[i] = out[i] * (limit / norm);
    }
  }
  return out;
}

}  // namespace gw::inline train
