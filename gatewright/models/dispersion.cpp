#include "gatewright/models/dispersion.h"

#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline models {

at::Tensor dispersion(const at::Tensor& logits) {
  GW_CHECK(logits.dim() == 2 && logits.size(1) >= 2,
           "dispersion: expected logits [B, C] of at least 2 classes, got {} dimensions", logits.dim());
  const auto classes = static_cast<double>(logits.size(1));
  const auto log_p = at::log_softmax(logits, 1), p = log_p.exp();
  const auto variance = (p - 1 / classes).square().mean(1) / ((1 - 1 / classes) / classes);
  const auto entropy = -(p * log_p).sum(1) / std::log(classes);
  return at::stack({variance, 1 - entropy}, 1);
}

}  // namespace gw::inline models
