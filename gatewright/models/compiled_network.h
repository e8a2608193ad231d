#pragma once
// An image network compiled for inference: one program per pathway, one for the router.
#include <memory>
#include <vector>

#include "gatewright/models/network.h"
#include "gatewright/ops/plane_program.h"

namespace gw::ops {
class TorchPool;
}  // namespace gw::ops

namespace gw::inline models {

/// What an image network answers in evaluation, without a tensor between its layers: batch norms are folded,
/// the pathway of every expert and the router are programs of their own (gatewright/ops/plane_program.h), and
/// an image meets the steps of its expert, or of the few that its policy gives it, only; nothing is sorted,
/// gathered or allocated for a single image. Weights are copied when it is made: make it anew after training.
/// Answers agree with the network's to rounding, so a route whose two best scores agree to rounding may
/// differ. The same bits for any batch and number of threads.
class CompiledNetwork {
 public:
  struct Answer {
    at::Tensor logits;            ///< [B, classes]
    at::Tensor scores;            ///< [B, E] of the router; undefined for a dense network
    std::vector<int64_t> expert;  ///< [B]; of several, the first by index
  };

  /// `network` must outlive it where its router cannot be compiled or its policy is not greedy: those run as
  /// they are. Errors: ValueError for routing per layer, f64 networks and steps that planes cannot run.
  explicit CompiledNetwork(Network& network);

  /// images [B, C, H, W] f32 in [0, 1], any strides. Errors: ValueError for other shapes and types, and for
  /// scores that are not finite. Several threads may call it unless router or policy run as they are.
  Answer run(const at::Tensor& images) const;

  /// Whether the router's scores come from a program of its own (or there is no router).
  bool router_compiled() const { return router_ != nullptr || programs_.size() == 1; }

 private:
  void check(const at::Tensor& images) const;
  std::vector<int64_t> choose(const at::Tensor& scores) const;
  void run_several(const at::Tensor& images, ops::TorchPool& pool, Answer& answer) const;

  NetworkShape shape_;
  Network* network_;
  bool greedy_ = false;
  std::vector<std::unique_ptr<ops::PlaneProgram>> programs_;  ///< of each expert
  std::unique_ptr<ops::PlaneProgram> router_;
};

}  // namespace gw::inline models
