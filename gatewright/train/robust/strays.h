#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/base/rng.h"

namespace gw::inline train {

/// Scores [B, E] that send about `share` of the images to another expert than their own: the chosen score and
/// that of an expert drawn among the others change places, and the new first gains 1, because equal scores
/// would change nothing. The same scores for a share of 0.
at::Tensor with_strays(const at::Tensor& scores, double share, const Rng& rng);

}  // namespace gw::inline train
