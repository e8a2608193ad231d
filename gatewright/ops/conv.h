#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "gatewright/ops/bucket_norm.h"

namespace gw::ops {

struct ConvShape {
  int64_t stride = 1, padding = 1;
};

/// Convolution of each part with the weights of its expert.
/// Shapes: parts [n_i, C, H, W] with expert ids, weight [E·w, C, k, k] (expert e owns rows e·w … (e+1)·w) →
///         [n_i, w, H', W'].
/// Grad:   parts and weight; experts without a part receive exact zeros.
/// Cost:   2·n·w·C·k²·H'·W' flop in all, whatever E: every image meets one expert only.
std::vector<at::Tensor> routed_conv(const std::vector<at::Tensor>& parts, const std::vector<int64_t>& expert,
                                    const at::Tensor& weight, int64_t experts, ConvShape shape);

/// The same answer the expensive way: all E·w channels for every image, then a gather by expert [B]. The
/// reference.
at::Tensor masked_conv(const at::Tensor& x, const at::Tensor& expert_of_row, const at::Tensor& weight,
                       int64_t experts, ConvShape shape);

/// Batch norm in evaluation mode as one multiply-add by channel.
/// Math:   scale = γ / √(σ² + ε), shift = β − μ·scale. Without gradients.
struct NormScale {
  at::Tensor scale, shift;
};
NormScale scale_and_shift(const NormParameters& norm);

/// Batch norm in evaluation mode folded into the convolution before it.
/// Math:   W' = W·scale (per output channel), b' = shift, as scale_and_shift gives them; one γ, β, μ and σ
/// for
///         all experts, or one for each.
struct FoldedConv {
  std::vector<at::Tensor> weight, bias;  ///< W' and b' of each expert
  /// x → relu?(conv(x, W'_expert) + b'). Gradients flow to x alone.
  at::Tensor apply(const at::Tensor& x, int64_t expert, ConvShape shape, bool relu = false) const;
  /// The same without b', for what must act between the two.
  at::Tensor apply_without_bias(const at::Tensor& x, int64_t expert, ConvShape shape) const;
  /// b' of an expert as [1, w, 1, 1].
  at::Tensor shift(int64_t expert) const;
};

/// The folded form of one layer: of `experts` convolutions [experts · w, …] and `norms` norms [norms · w],
/// each count 1 or E. Kept by ConvNorm while its sources do not change (gatewright/ops/kept.h).
FoldedConv fold_norm(const at::Tensor& weight, const NormParameters& norm, int64_t experts,
                     int64_t norms = 1);

/// The same for kernels that are merged: W' of all experts in one tensor [experts · w, …], and the one b'.
FoldedConv fold_merged_norm(const at::Tensor& weight, const NormParameters& norm, int64_t experts);

/// relu?(conv(x, weight) + bias) by the faster of two ways: on channel planes where those pay (few channels,
/// see ops/plane_conv2d.h; the answer is then contiguous), else conv2d that stays on oneDNN's path for single
/// small images too: libtorch 1.13 leaves it for an im2col one there (16→16 channels at 32×32, batch 1: 1.3
/// GFLOP/s against 87). Same bits for any number of threads, gradients included.
at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ConvShape shape,
                  bool relu = false);

/// The mean of every channel of maps [B, C, H, W]: [B, C].
at::Tensor channel_means(const at::Tensor& x);

/// y = x Wᵀ + b, counted by CostRecorder. Shapes: x [T, D], weight [out, D], bias [out] or undefined.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace gw::ops
