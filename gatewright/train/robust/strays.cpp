#include "gatewright/train/robust/strays.h"

#include <ATen/ATen.h>

#include "gatewright/ops/random.h"

namespace gw::inline train {

at::Tensor with_strays(const at::Tensor& scores, double share, const Rng& rng) {
  if (share == 0) return scores;
  const int64_t images = scores.size(0), experts = scores.size(1);
  const auto strays = ops::uniform(rng.fork("who"), {images}, 0, 1).lt(share);
  const auto by =
      ops::uniform(rng.fork("where"), {images}, 1, static_cast<double>(experts)).floor().to(at::kLong);
  const auto from = scores.argmax(1), to = at::remainder(from + by.clamp_max(experts - 1), experts);
  const auto other = at::where(strays, to, from);
  const auto rows = at::arange(images, at::kLong);
  auto order = at::arange(experts, at::kLong).repeat({images, 1});
  order.index_put_({rows, from}, other).index_put_({rows, other}, from);
  const auto gain = at::one_hot(other, experts) * strays.unsqueeze(1);
  return scores.gather(1, order) + gain.to(scores.scalar_type());
}

}  // namespace gw::inline train
