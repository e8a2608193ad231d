#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/models/network.h"

namespace gw::inline train {

/// Errors: ValueError for a network whose router has no certified radius, with what it lacks.
void check_certifiable(const Network& network);

/// The expert that the image-level router gives each image in evaluation [B]; −1: several.
at::Tensor sole_experts(Network& network, const at::Tensor& images);

/// Whether an image's route provably stands: every image within radius[b] of image b, pixels inside [0, 1],
/// meets the same expert, and it alone. Rounding of f32 is counted in, whatever order it sums in
/// (gatewright/ops/interval.h); for policies with a threshold, up to the rounding of their softmax.
/// An image that goes to several experts is never certified.
/// Shapes: images [B, C, H, W] in [0, 1], radius [B] → [B] bool.
/// Errors: as check_certifiable. Cost: one pass of the router, and one of its bounds in f64.
at::Tensor certified_routes(Network& network, const at::Tensor& images, const at::Tensor& radius);

/// The largest radius of each image that is certified, up to 1, by bisection: [B] f64. For a router that is
/// linear in the pixels it is the distance to the nearest image of another route, less a few millionths.
/// Cost: 30 passes of the bounds.
at::Tensor certified_radii(Network& network, const at::Tensor& images);

}  // namespace gw::inline train
