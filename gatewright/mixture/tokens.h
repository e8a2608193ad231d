#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace gw::inline mixture {

/// x as a layer can take it: under autocast in the dtype of its weights.
/// `weight` is one of the experts' weights, or undefined for experts without any.
/// Errors: ValueError that names the layer, what it takes, what came and what to do: for tensors that are
///         undefined, not dense or not on the CPU, for other shapes than [T, width] and [B, width, H, W], and
///         for another dtype than the weights'.
at::Tensor accepted_tokens(const std::string& layer, const at::Tensor& x, int64_t width,
                           const at::Tensor& weight);

}  // namespace gw::inline mixture
