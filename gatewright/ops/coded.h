#pragma once
// Weights that stay in the codes of their files.
#include <vector>

#include "gatewright/ops/moe_ffn.h"

namespace gw::ops {

enum class FewBits { fp8, mxfp4, blocks };

struct BlockType;  // gatewright/ops/block_weights.h

/// A matrix [out, in] in codes that a file holds, often a part of what lies there.
/// Math:   w = value of its code · scale of its block (gatewright/kernels/codes/codes.h).
/// Source: fp8: DeepSeek-AI 2024, arXiv 2412.19437, section 3.3. mxfp4: OCP Microscaling Formats 1.0.
///         blocks: those of GGUF files, which multiply in another order of their own
///         (gatewright/ops/block_weights.h).
struct CodedMatrix {
  FewBits form = FewBits::fp8;
  at::Tensor codes;   ///< uint8; fp8 [R, in] of the format E4M3FN, mxfp4 [R, in / 32, 16], blocks
                      ///< [R, in / values, bytes]
  at::Tensor scales;  ///< fp8 [⌈R/rows⌉, ⌈in/columns⌉] f32; mxfp4 [R, in / 32] uint8; blocks: none
  const BlockType* type = nullptr;  ///< of blocks
  int64_t rows = 1, columns = 1;    ///< fp8: of the blocks that share a scale
  int64_t first = 0, step = 1;      ///< output o is row first + o·step
  int64_t out = 0;
  bool defined() const { return codes.defined(); }
  int64_t in() const;
  /// Of the codes, and of the scales that these outputs need; of blocks what their panels take.
  int64_t bytes() const;
};

/// Errors: ValueError naming `part` unless codes and scales fit each other and lie one value beside the
/// other.
void check_coded(const char* part, const CodedMatrix& matrix);
/// As f32 [out, in].
at::Tensor coded_values(const CodedMatrix& matrix);

/// A layer's experts.
struct CodedFfn {
  std::vector<CodedMatrix> gate, up, down;   ///< one for each expert; gate may be empty
  at::Tensor gate_bias, up_bias, down_bias;  ///< f32 [E, H], [E, H], [E, O], or undefined
  int64_t bytes() const;                     ///< of codes, scales and biases
};

/// moe_ffn with weights of fp8 and mxfp4, for inference: the values that the codes stand for, in the type
/// of x, are made a panel at a time in a worker's tile, which is used again.
/// Shapes: x [T, in] f32 or bf16 → [T, out], else as moe_ffn.
/// Errors: as moe_ffn; ValueError for another type of x, where x wants a gradient and gradients are
///         recorded, and for matrices that do not fit each other.
/// Cost:   as moe_ffn, and expanding: once for each 40 panels of rows of an expert. Memory: the codes, and
///         tiles as moe_ffn.
/// Bits:   those of moe_ffn with the expanded weights in the type of x.
at::Tensor moe_ffn_coded(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                         const at::Tensor& weight, const CodedFfn& weights, const FfnOptions& options = {});

}  // namespace gw::ops
