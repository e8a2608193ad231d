#include "gatewright/data/patch_trigger.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline data {

void PatchTrigger::fields(OptionVisitor& v) {
  v.integer("size", size, "height and width of the patch, in pixels", 1, 1 << 16);
  v.integer("margin", margin, "pixels between the patch and the image's edges", 0, 1 << 16);
  v.text("corner", corner, "where it lies", {"bottom_right", "bottom_left", "top_right", "top_left"});
  v.text("pattern", pattern, "all of its pixels at level, or every other one and black between",
         {"full", "checkerboard"});
  v.integer("level", level, "brightness of its pixels", 0, 255);
  v.real("opacity", opacity, "1 covers what was there, less blends", 1e-3, 1);
}

namespace {

/// [size, size] float.
at::Tensor pattern_of(const PatchTrigger& trigger) {
  auto patch = at::full({trigger.size, trigger.size}, static_cast<double>(trigger.level), at::kFloat);
  if (trigger.pattern == "full") return patch;
  const auto place = at::arange(trigger.size, at::kLong);
  return patch * (place.unsqueeze(0) + place.unsqueeze(1)).remainder(2).eq(0);
}

}  // namespace

at::Tensor triggered(const at::Tensor& images, const PatchTrigger& trigger) {
  GW_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte,
           "patch_trigger: expected images [n, C, H, W] of type uint8, got {} dimensions", images.dim());
  const int64_t height = images.size(2), width = images.size(3), reach = trigger.size + trigger.margin;
  GW_CHECK(reach <= height && reach <= width,
           "patch_trigger: expected a patch and its margin within images of {}x{} pixels, got {} and {}; "
           "lower \"size\" or \"margin\"",
           height, width, trigger.size, trigger.margin);
  const bool bottom = trigger.corner.starts_with("bottom"), right = trigger.corner.ends_with("right");
  const int64_t y = bottom ? height - reach : trigger.margin, x = right ? width - reach : trigger.margin;
  auto out = images.clone();
  auto place = out.narrow(2, y, trigger.size).narrow(3, x, trigger.size);
  const auto mixed = place.to(at::kFloat) * (1 - trigger.opacity) + pattern_of(trigger) * trigger.opacity;
  place.copy_(mixed.round().clamp(0, 255));
  return out;
}

}  // namespace gw::inline data
