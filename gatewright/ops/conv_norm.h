#pragma once
#include <torch/nn/module.h>

#include <optional>
#include <vector>

#include "gatewright/base/rng.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/kept.h"
#include "gatewright/ops/step_log.h"

namespace gw::ops {

struct ConvNormShape {
  int64_t in = 0, out = 0;  ///< channels of one expert
  int64_t kernel = 3, stride = 1;
  int64_t experts = 1;  ///< 1: an ordinary convolution
  bool relu = true;
  bool paper_init = true;  ///< Kaiming fan-out over all experts' channels; otherwise PyTorch's default
  int64_t norms = 1;  ///< 1: one batch norm for all; E: one for each expert that routes name, also after an
                      ///< ordinary convolution
};

/// What of the batch goes where: the expert of each part; `route_weight` holds per part the straight-through
/// weights [n_i] (value one, gradient to the router) or is empty.
struct PartRoutes {
  std::vector<int64_t> expert;
  std::vector<at::Tensor> route_weight;
  at::Tensor masked_expert;  ///< [B]: when defined the convolution runs masked-dense over one part holding
                             ///< the whole batch
  at::Tensor mixing;         ///< [B, E]: when defined kernels are merged for every image, likewise
};

/// Convolution (per expert) → batch norm (one for all experts with statistics over all parts, or one for each
/// over its own) → + residual → ReLU.
/// The block that every network and router here is made of. Three paths give the same answer: training
/// statistics;
/// evaluation with gradients to the parameters; and, without recording or under FrozenParameters, batch norm
/// folded into the weights.
/// Source: Zhang et al. 2023, arXiv 2308.10110 for the routed form.
class ConvNorm : public torch::nn::Module {
 public:
  ConvNorm(ConvNormShape shape, const Rng& rng);
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& parts, const PartRoutes& routes,
                                  const std::vector<at::Tensor>& residual = {},
                                  std::optional<bool> train = {});
  /// An unrouted batch. `train`: statistics of the batch, or those kept; absent: the module's own mode.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual = {}, std::optional<bool> train = {});

  const ConvNormShape& shape() const { return shape_; }

 private:
  std::vector<at::Tensor> convolve(const std::vector<at::Tensor>& parts, const PartRoutes& routes) const;
  at::Tensor folded_merged(const at::Tensor& x, const at::Tensor& mixing, const at::Tensor& residual);
  std::vector<at::Tensor> folded(const std::vector<at::Tensor>& parts, const PartRoutes& routes,
                                 const std::vector<at::Tensor>& residual);
  Step step_of(const at::Tensor& x, const at::Tensor& y, const FoldedConv& fold, int64_t expert,
               const at::Tensor& residual) const;
  ConvShape conv_shape() const { return {shape_.stride, shape_.kernel / 2}; }
  NormParameters norm() const { return {gamma_, beta_, running_mean_, running_var_}; }

  ConvNormShape shape_;
  at::Tensor weight_, gamma_, beta_, running_mean_, running_var_;
  Kept<FoldedConv> fold_;
};

}  // namespace gw::ops
