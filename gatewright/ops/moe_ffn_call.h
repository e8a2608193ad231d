#pragma once
// What the feed-forward ops share: the kernel types behind dtypes, and the checks of a call. Not for users.
#include "gatewright/kernels/moe_ffn/family.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/quantised.h"

namespace gw::ops {

template <class T>
struct Types;
template <>
struct Types<float> {
  static constexpr auto value = at::kFloat, sum = at::kFloat;
  static const kernels::FfnLevel<float>& level() { return kernels::moe_ffn_family()(); }
};
template <>
struct Types<kernels::Bf16> {
  static constexpr auto value = at::kBFloat16, sum = at::kFloat;
  static const kernels::FfnLevel<kernels::Bf16>& level() { return kernels::moe_ffn_bf16_family()(); }
};
template <>
struct Types<double> {
  static constexpr auto value = at::kDouble, sum = at::kDouble;
  static const kernels::FfnLevel<double>& level() { return kernels::moe_ffn_ref_f64; }
};

/// Codes in the order of the kernels.
struct QuantisedPanels {
  at::Tensor codes, scales;
};
QuantisedPanels quantised_panels(const QuantisedWeight& weight);
/// Errors: ValueError unless the weights fit each other and the dtype of `like`.
void check_ffn_weights(const FfnWeights& weights, const at::Tensor& like);
/// Errors: ValueError unless token, offsets and weight describe rows of x [T, D] over these experts.
void check_ffn_rows(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                    const at::Tensor& weight, int64_t experts);
/// What to do about a tensor on this device, and for CUDA what is missing.
std::string device_remedy(const at::Device& device);
/// One of the kernel's own activations, or rows of the catalogue (place >= 0) with their parameters.
struct FfnActivation {
  kernels::Activation fast = kernels::Activation::identity;
  int64_t place = -1;
  std::vector<double> parameters;
  bool learned = false;
};
/// Errors: as ActivationFunction.
FfnActivation ffn_activation(const std::string& text);
/// Errors: ValueError unless learned parameters, where given, are one set per expert of this activation.
void check_ffn_activation(const FfnActivation& f, const std::string& text, const FfnWeights& weights);
/// Errors: ValueError unless the panels were packed from these weights for the level of now.
void check_packed(const FfnWeights& weights, const PackedFfn& packed);
/// Errors: ValueError for a limit or a shift without a gate, not finite, or a negative limit.
kernels::GluBounds ffn_bounds(const FfnOptions& options, bool glu);

}  // namespace gw::ops
