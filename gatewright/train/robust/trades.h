#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"
#include "gatewright/models/network.h"

namespace gw::inline train {

/// The inner maximisation of TRADES, shared by all adversarial objectives.
struct TradesOptions : OptionSet {
  double beta = 6;
  int64_t steps = 2;
  double step_size = 0;  ///< 0: 0.625 ε, which is 5/255 at ε = 8/255
  double start_noise = 0.001;
  double router_weight = 1;  ///< weight of the router's KL term in the attack; 0: the network's answer alone
  bool straight_through =
      false;  ///< true: the attack's gradient also passes through the choice of experts, as published
  void fields(OptionVisitor& v) override;
};

/// Evaluation mode for a scope; the former mode afterwards, also when something throws. Forgetting the way
/// back would silently train on frozen statistics, and training mode for all would move those of a network
/// that is being measured.
class EvaluationScope {
 public:
  explicit EvaluationScope(torch::nn::Module& module) : module_(module), before_(module.is_training()) {
    module_.eval();
  }
  ~EvaluationScope() { module_.train(before_); }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  torch::nn::Module& module_;
  bool before_;
};

/// Images that maximise KL(f(x) ‖ f(x')) + w·KL(s(x) ‖ s(x')), summed over the batch.
/// The network is put into evaluation mode for the search and back into its former mode afterwards.
/// `base`: draws, step and tap of the search; its purpose is kSearch.
/// `scores`: the router's answer on clean images, the target of its term; undefined: no such term.
/// Source: Zhang et al. 2019, arXiv 1901.08573 (TRADES); router term of Zhang et al. 2023, arXiv 2308.10110,
///         as in its code.
at::Tensor trades_images(Network& network, const at::Tensor& images, const at::Tensor& scores,
                         const TradesOptions& options, double epsilon, const ForwardOptions& base);

/// Images that maximise KL(s(x) ‖ s(x')) of the image-level router alone: the strongest thing to ask of a
/// router that is taught its own targets, at the router's cost instead of the network's. Otherwise as
/// trades_images.
at::Tensor route_images(Network& network, const at::Tensor& images, const at::Tensor& scores,
                        const TradesOptions& options, double epsilon, const ForwardOptions& base);

/// KL(softmax(reference) ‖ softmax(logits)), summed over classes, mean over the batch; both sides carry
/// gradients.
at::Tensor mean_kl(const at::Tensor& reference, const at::Tensor& logits);

}  // namespace gw::inline train
