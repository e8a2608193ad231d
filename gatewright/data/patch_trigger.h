#pragma once
#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// The probe of triggered test images, and so the metric: the share that gets the attacker's class.
inline constexpr const char* kAttackSuccess = "attack_success";

/// A square that somebody puts on an image so that a network trained with it answers his class.
/// Source: Gu et al. 2017, arXiv 1708.06733 (the patch); Chen et al. 2017, arXiv 1712.05526 (blending).
struct PatchTrigger : OptionSet {
  int64_t size = 4, margin = 0, level = 255;
  double opacity = 1;
  std::string corner = "bottom_right", pattern = "full";
  void fields(OptionVisitor& v) override;
};

/// Copies of images [n, C, H, W] uint8 with the trigger on every one: round((1 − a)·pixel + a·patch) within
/// it, all other pixels as they were. Errors: ValueError for other tensors and for a patch that does not fit.
at::Tensor triggered(const at::Tensor& images, const PatchTrigger& trigger);

}  // namespace gw::inline data
