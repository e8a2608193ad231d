#pragma once
#include <ATen/core/Tensor.h>

#include "base/options.h"
#include "base/rng.h"
#include "train/victim.h"

namespace gw {

/// A batch of adversarial images and what is known of them.
struct AttackResult {
  at::Tensor images;   ///< [B, C, H, W], inside the ε-ball and inside [0, 1]
  at::Tensor fooled;   ///< [B] bool: the victim's class differs from the label on `images`
  int64_t queries = 0; ///< forward passes per image
};

/// A search for a perturbation with ‖δ‖∞ ≤ ε that changes the victim's answer.
/// The victim must be in evaluation mode; attacks leave no gradient in its parameters.
class Attack {
 public:
  static constexpr const char* kKind = "attacks";
  struct Context {
    double epsilon = 8.0 / 255.0;  ///< radius of the L∞ ball, in pixel units of [0, 1]
  };
  virtual ~Attack() = default;
  /// Shapes: images [B, C, H, W] float in [0, 1], labels [B] int64. The same rng gives the same bits.
  virtual AttackResult run(Victim& victim, const at::Tensor& images, const at::Tensor& labels, const Rng& rng) = 0;
};

}  // namespace gw
