#pragma once
#include "gatewright/models/model.h"

namespace gw::inline models {

/// What a model that makes synthetic variations of images is beside being a Model.
class ImageVarier {
 public:
  virtual ~ImageVarier() = default;
  /// A variation of each image [B, C, H, W] float in [0, 1], of the same shape; the draws are those of `rng`.
  /// Without gradients.
  virtual at::Tensor vary(const at::Tensor& images, const Rng& rng) = 0;
};

}  // namespace gw::inline models
