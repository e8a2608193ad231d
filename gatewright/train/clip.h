#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/base/options.h"

namespace gw::inline train {

/// Largest L2 norms of a step's gradients, the router's and all others' apart: one common norm would let a
/// router that runs away take the experts' step, and the experts' large norm hide the router's.
/// Math:   g ← g · min(1, c / ‖g‖), ‖g‖ over the whole part.
/// Source: Pascanu et al. 2013, arXiv 1211.5063; ours: two parts.
struct ClipOptions : OptionSet {
  double router = 0, experts = 0;  ///< 0: no limit
  void fields(OptionVisitor& v) override;
};

/// The gradients of one step within their limits. `of_router` says for each whether it belongs to the router;
/// undefined gradients stay so. Returns the given tensors where a part keeps its limit. The same bits for any
/// number of threads.
/// Cost: one reading of the parts that have a limit.
std::vector<at::Tensor> clipped(const std::vector<at::Tensor>& gradients, const std::vector<bool>& of_router,
                                const ClipOptions& limits);

}  // namespace gw::inline train
