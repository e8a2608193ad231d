#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"
#include "gatewright/train/robust/victim.h"

namespace gw::inline train {

/// A batch of adversarial images and what is known of them.
struct AttackResult {
  at::Tensor images;   ///< [B, C, H, W], inside the ε-ball and inside [0, 1]
  at::Tensor fooled;   ///< [B] bool: the victim's class differs from the label on `images`
  at::Tensor margin;   ///< [B] best wrong logit − the label's logit on `images`; > 0 where fooled
  at::Tensor flipped;  ///< [B] bool: the best-scored expert differs from the clean image's; undefined without
                       ///< scores or B = 0
  int64_t queries = 0;  ///< forward passes that an image got at most, the clean and the closing one included
  /// Of `per_pathway`, one [B] bool tensor per expert (none when B = 0): expert e's pathway, forced, errs on
  /// the image that was sought for it / is right on the clean image.
  std::vector<at::Tensor> fooled_per_expert, clean_correct_per_expert;
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
  virtual AttackResult run(Victim& victim, const at::Tensor& images, const at::Tensor& labels,
                           const Rng& rng) = 0;
};

}  // namespace gw::inline train
