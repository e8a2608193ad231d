#include "routing/gate.h"

#include <ATen/ATen.h>

namespace gw {

void check_tokens(const char* part, const at::Tensor& x, int64_t width) {
  GW_CHECK(x.dim() == 2 && x.size(1) == width, "{}: expected tokens [T, {}], got {} dimensions, last of size {}", part, width, x.dim(),
           x.dim() == 0 ? 0 : x.size(-1));
}

}  // namespace gw
