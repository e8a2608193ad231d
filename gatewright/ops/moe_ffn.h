#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace gw::ops {

/// Stacked weights as nn.Linear keeps them (outputs × inputs). An undefined gate: no GLU; undefined biases:
/// none.
struct FfnWeights {
  at::Tensor gate, up, down;                 ///< [E, H, D], [E, H, D], [E, O, H]
  at::Tensor gate_bias, up_bias, down_bias;  ///< [E, H], [E, H], [E, O]
  at::Tensor
      activation{};  ///< [E, P], the activation's parameters where they are learned; undefined: constants
};

/// Panels of FfnWeights for inference (pack_ffn): the same values in the order in which the kernels read
/// them.
struct PackedFfn {
  at::Tensor gate, up, down;
  std::string level;  ///< they hold for this kernel level only
  bool defined() const { return up.defined(); }
};

struct FfnOptions {
  std::string activation = "silu";  ///< as ActivationFunction takes it
  bool recompute = false;           ///< keep nothing for the backward pass and compute gate and up again
  double limit = 0;     ///< with a gate: f(min(gate, limit))·max(-limit, min(up, limit)); 0: no limit
  double up_shift = 0;  ///< with a gate: added to the (limited) up, as GPT-OSS adds 1
};

/// The experts of a mixture layer in one call: gather, two or three products with the activation between
/// them, weighted scatter.
/// Math:   y_t = Σ_{r: token_r = t} weight_r · (f(x_t·gateᵀ + b)·(x_t·upᵀ + b))·downᵀ + b, over a token's
///         rows in the order of experts; without gate f(x_t·upᵀ + b). bf16: sums and routing weights in f32,
///         h rounded to bf16 between the products.
/// Shapes: x [T, D] f32, bf16 or f64 on the CPU; rows of expert e are offsets[e] … offsets[e + 1] - 1, row r
///         stands for token [N] int64 r with weight [N] → y [T, O] in the dtype of x. T, N and single experts
///         may be empty; a token without rows gets zeros. D = 0 or H = 0 leaves the biases.
/// Errors: ValueError for shapes, dtypes or devices that do not fit, token ids outside [0, T), offsets that
///         do not rise from 0 to N, unknown activations, a backward pass that asks for second derivatives.
///         NaN in x or weight gives NaN in its token only.
/// Cost:   2·N·H·(2·D + O) flop (GLU), twice that backward; the weights of experts with rows are read once
///         (backward: twice) and their gradients written once. Keeps N·H values (2·N·H with GLU) for the
///         backward pass, or none with `recompute`; temporary memory is N·(D + H) values forward, N·(O + 5·H)
///         backward, and 1 to 3 MB per thread. No buffer has an expert capacity.
///         Nine activations are part of the row loops (gatewright/kernels/moe_ffn/rows.h), all others go
///         through rows of 64 values of the catalogue: docs/activations.md says what that costs.
/// Grad:   x, weight, all weights and biases and the activation's parameters, each only where asked for;
/// weights of experts without rows get
///         exact zeros.
/// Same bits for any number of threads and any split of the tokens into calls (weight gradients: any number
/// of threads). Levels differ by rounding.
at::Tensor moe_ffn(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                   const at::Tensor& weight, const FfnWeights& weights, const FfnOptions& options = {},
                   const PackedFfn& packed = {});

/// Copies weights into panels. Cost: one read and one write of all of them. Errors: as moe_ffn for the
/// weights.
PackedFfn pack_ffn(const FfnWeights& weights);

/// The kernel level that a call with this dtype takes now.
std::string moe_ffn_level(at::ScalarType dtype);

}  // namespace gw::ops
