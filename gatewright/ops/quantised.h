#pragma once
#include "gatewright/ops/moe_ffn.h"

namespace gw::ops {

/// Weights of few bits: code·scale, symmetric, one scale per output and `group` consecutive inputs.
struct QuantisedWeight {
  at::Tensor codes;   ///< [E, outputs, inputs] int8, in [-127, 127] or [-8, 7]
  at::Tensor scales;  ///< [E, outputs, groups] f32
  int64_t bits = 8, group = 0;
};

/// Nearest codes. scale = max|w| / 127 of a group (4 bits: the value of largest magnitude / -8, so that -8 is
/// used).
/// Shapes: w [E, outputs, inputs] f32, bf16 or f64. group 0: a whole row, one scale; else a multiple of 64.
/// Errors: ValueError for bits other than 4 and 8, other groups, weights that are not finite. A group of
///         zeros has scale 0.
QuantisedWeight quantise(const at::Tensor& w, int64_t bits, int64_t group = 0);
/// Bytes of codes and scales of such weights in the order of the kernels. `group`: as above.
int64_t quantised_bytes(int64_t experts, int64_t outputs, int64_t inputs, int64_t bits, int64_t group);
/// code·scale as f32.
at::Tensor dequantise(const QuantisedWeight& w);

/// A layer's weights in the order of the kernels: the same for x of f32 and bf16, and for every kernel level.
struct QuantisedFfn {
  at::Tensor gate, up, down;                       ///< codes in panels, uint8; gate may be undefined
  at::Tensor gate_scales, up_scales, down_scales;  ///< f32
  at::Tensor gate_bias, up_bias, down_bias;        ///< f32 or undefined
  int64_t experts = 0, in = 0, hidden = 0, out = 0, bits = 8;
  int64_t in_group = 0, hidden_group = 0;  ///< k per scale of gate and up, of down
  int64_t bytes() const;                   ///< of codes and scales
};

/// Quantises and orders a layer's weights.
QuantisedFfn quantise_ffn(const FfnWeights& weights, int64_t bits, int64_t group);

/// A layer of these sizes whose codes and scales are still 0, to be filled from a file. Cost: the memory.
QuantisedFfn empty_quantised_ffn(int64_t experts, int64_t in, int64_t hidden, int64_t out, bool glu,
                                 int64_t bits, int64_t group);

/// moe_ffn with these weights, for inference, in integer arithmetic: x and the inner activations are rounded
/// to fixed point (see gatewright/kernels/qgemm/qgemm.h).
/// Weights of 8 bits: to 16 bits, block by block of up to 512, which is finer than bf16 but where a block's
/// values differ by more than a factor of 256.
/// Weights of 4 bits: to 8 bits, block by block of up to 128, a fifteenth of the error that the weights
/// themselves have.
/// Bits:   the same for any threads and any split of the batch; products have the same bits at every level,
///         activations as moe_ffn's.
/// Errors: as moe_ffn; ValueError for x of another dtype than f32 and bf16. No gradients: x must not require
///         one. A block of x that is not finite gives NaN in all of its token's outputs.
/// Cost:   reads bits / 8 bytes per weight of an expert with rows, and its scales.
at::Tensor moe_ffn_quantised(const at::Tensor& x, const at::Tensor& token,
                             const std::vector<int64_t>& offsets, const at::Tensor& weight,
                             const QuantisedFfn& weights, const FfnOptions& options = {});

/// The kernel level that products with codes take now.
std::string codes_level();

}  // namespace gw::ops
