#pragma once
// Weights of perceptrons as inference holds them: fewer bits, no gradients.
#include <torch/nn/module.h>

#include <string>

#include "gatewright/ops/block_weights.h"
#include "gatewright/ops/quantised.h"

namespace gw::inline experts {

struct FfnSizes {
  int64_t experts = 0, in = 0, hidden = 0, out = 0;
  bool glu = false, bias = false;
};

/// The experts of one layer in bf16, or in codes of 8 or 4 bits with f32 scales, in the order of the kernels,
/// which is the same on every machine. The tensors are buffers of the module that owns them: saved and
/// loaded, never trained. Codes of a file (ops::CodedFfn) stay where they are, blocks are packed in the order
/// of their kernels (ops::BlockFfn); neither is saved or loaded. Cost: bf16 2 bytes a weight, int8 1, int4 ½,
/// and 4 bytes for each output and group of inputs.
class HeldFfn {
 public:
  /// `form`: bf16, int8 or int4; `group`: inputs that share a scale, 0: a row (int8) or 128 (int4).
  /// Errors: ValueError for a group that is no multiple of 64.
  HeldFfn(const std::string& form, int64_t group, const FfnSizes& sizes, torch::nn::Module& owner);
  /// Codes instead of weights of the same sizes, whose biases are taken as f32. Errors: ValueError for other
  /// sizes, and activations whose parameters each expert learned.
  HeldFfn(ops::CodedFfn codes, const ops::FfnWeights& weights);
  /// Rounds trained weights. Errors: ValueError for other sizes, weights that are not finite, activations
  /// whose parameters each expert learned, and where codes of a file are held.
  void take(const ops::FfnWeights& trained);
  /// As ops::moe_ffn. x of f32, bf16 or f64, answers in its type. Errors: ValueError if x wants a gradient
  /// and the weights are codes.
  at::Tensor mix(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                 const at::Tensor& weight, const ops::FfnOptions& options) const;
  /// Of codes of a file and their biases; 0 for the other forms, whose tensors are buffers.
  int64_t kept_bytes() const { return kept_.bytes() + blocks_.bytes(); }

 private:
  std::vector<std::pair<const char*, at::Tensor*>> tensors();
  void check_fits(const ops::FfnWeights& trained) const;

  FfnSizes sizes_;
  int64_t bits_, group_;     ///< 16: bf16; 0: codes of a file
  ops::FfnWeights rounded_;  ///< bf16
  ops::QuantisedFfn codes_;  ///< int8, int4
  ops::CodedFfn kept_;
  ops::BlockFfn blocks_;  ///< or these
};

}  // namespace gw::inline experts
