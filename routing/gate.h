#pragma once
#include <torch/nn/module.h>

#include "base/error.h"
#include "base/options.h"

namespace gw {

/// Who is wanted: maps inputs to scores over E experts. Raw scores (logits); policies normalise.
/// Shapes: tokens [T, D] or images / feature maps [B, C, H, W] → [T or B, E].
class Gate : public torch::nn::Module {
 public:
  static constexpr const char* kKind = "gates";
  struct Context {
    int64_t width = 0;    ///< D of tokens, or channels C of images
    int64_t experts = 2;  ///< E
    uint64_t seed = 0;    ///< of the initial weights
  };
  virtual at::Tensor forward(const at::Tensor& x) = 0;
  /// True when the gate takes images [B, C, H, W] rather than tokens [T, D].
  virtual bool takes_images() const { return false; }
};

}  // namespace gw
