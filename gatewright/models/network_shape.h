#pragma once
// Sizes and answers of image networks.
#include <string>
#include <vector>

#include "gatewright/routing/plan.h"

namespace gw::inline models {

/// What each expert of a mixture has of its own beside its convolutions; shared by all otherwise.
struct PrivateParts {
  bool norms = false;       ///< batch norms after routed convolutions, and those of pre-activation networks
  bool stem_norms = false;  ///< batch norms after convolutions that all experts share: stems, 1×1 shortcuts
  bool head = false;        ///< the classifier
  bool any() const { return norms || stem_norms || head; }
};

/// Sizes shared by every backbone of the zoo: the same file builds the dense network (experts 1, ratio 1),
/// the small dense one (experts 1, ratio r) and the mixture (experts E, ratio r).
struct NetworkShape {
  int64_t channels = 3, height = 32, width = 32, classes = 10;
  int64_t experts = 1;
  double ratio = 1.0;  ///< width of a pathway relative to the dense network
  std::string routing =
      "image";        ///< "image": one decision for the whole network; "layer": one per routed layer
  uint64_t seed = 0;  ///< of the initial weights
  PrivateParts own = {};
  bool merged = false;  ///< kernels are merged for every image instead of chosen: Execution::kMerged
};

struct NetworkOutput {
  at::Tensor logits;  ///< [B, classes]
  at::Tensor scores;  ///< [B, E] of the image-level router; undefined when dense, forced or routed per layer
  std::vector<SitedPlan> plans;  ///< one per decision: one for image-level routing, one per layer otherwise
};

/// Multiply-adds of one image (convolutions and matrix products only, as the field counts them).
struct NetworkCost {
  int64_t backbone = 0, router = 0;
  int64_t total() const { return backbone + router; }
};

}  // namespace gw::inline models
