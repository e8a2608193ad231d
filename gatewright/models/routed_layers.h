#pragma once
// Layers over bucketed batches, shared by the backbones of the zoo.
#include <torch/nn/module.h>

#include "gatewright/mixture/buckets.h"
#include "gatewright/models/routing_context.h"
#include "gatewright/ops/activation_function.h"

namespace gw::inline models {

/// Convolution → batch norm → (+ residual) → ReLU over buckets; with per-layer routing it decides anew on its
/// own input.
class RoutedConvNorm : public torch::nn::Module {
 public:
  /// `shape.experts` > 1 makes the convolution routed. `context` gives the layer's own router when routing is
  /// per layer, and the number of its norms.
  RoutedConvNorm(ops::ConvNormShape shape, const ZooContext& context, const std::string& name);
  BucketedBatch forward(const BucketedBatch& x, const BucketedBatch* residual = nullptr);

 private:
  std::shared_ptr<ops::ConvNorm> conv_;
  std::shared_ptr<LayerRouter> router_;
};

/// Batch norm → ReLU over buckets (pre-activation networks).
class BucketNorm : public torch::nn::Module {
 public:
  BucketNorm(int64_t channels, const ZooContext& context);
  BucketedBatch forward(const BucketedBatch& x);

 private:
  void log_steps(const BucketedBatch& x, const BucketedBatch& out, const ops::NormParameters& norm) const;

  int64_t norms_;
  at::Tensor gamma_, beta_, running_mean_, running_var_;
};

/// Convolution alone over buckets, routed when `shape.experts` > 1 (pre-activation networks).
class RoutedConv : public torch::nn::Module {
 public:
  RoutedConv(ops::ConvNormShape shape, const ZooContext& context, const std::string& name);
  BucketedBatch forward(const BucketedBatch& x);

 private:
  ops::ConvNormShape shape_;
  at::Tensor weight_;
  std::shared_ptr<LayerRouter> router_;
};

/// Matrix product with bias, N(0, 0.01) weights as the paper initialises its heads; one for all experts, or
/// one for each (weight [E·out, in], expert e owns e·out … (e+1)·out).
class Head : public torch::nn::Module {
 public:
  Head(int64_t in, int64_t out, const ZooContext& context, const Rng& rng);
  /// x [B, in] in original order, whose rows went where `routed` says → [B, out].
  at::Tensor forward(const at::Tensor& x, const BucketedBatch& routed);

 private:
  int64_t heads_;
  at::Tensor weight_, bias_;
};

/// Global average pool of every part, rows back in original order: [B, C].
at::Tensor pooled(const BucketedBatch& batch);
/// Average pool of every part to size×size, whatever its own size (smaller maps repeat), flattened: [B,
/// C·size²].
at::Tensor pooled(const BucketedBatch& batch, int64_t size);
/// `ceil`: an incomplete window at the edge counts, so that a map never vanishes (7 → 4 → 2 → 1 → 1).
BucketedBatch max_pool(const BucketedBatch& batch, int64_t size, bool ceil = false);
/// max(x, 0) of rows [B, C].
at::Tensor rectified(const at::Tensor& rows);
/// An activation of the catalogue at its own parameters, part by part.
BucketedBatch activated(const BucketedBatch& batch, const ops::ActivationFunction& function);
BucketedBatch average_pool(const BucketedBatch& batch, int64_t size);
BucketedBatch bucket_sum(const BucketedBatch& a, const BucketedBatch& b);
/// Channel concatenation, part by part (DenseNet).
BucketedBatch concatenate(const BucketedBatch& a, const BucketedBatch& b);

}  // namespace gw::inline models
