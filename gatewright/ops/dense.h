#pragma once
// One matrix for all tokens, for inference: the layers around a mixture on the mixture's kernels.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gatewright/ops/block_weights.h"

namespace gw::ops {

/// A matrix as inference holds it.
struct DenseWeight {
  at::Tensor weight;         ///< [out, in] f32, bf16 or f64, as it lies; undefined with codes
  CodedMatrix kept;          ///< instead of it: the codes of a file
  BlockPanels blocks;        ///< or its blocks
  at::Tensor bias;           ///< [out] f32 (f64 beside f64), or undefined
  at::Tensor codes, scales;  ///< of 8 or 4 bits
  int64_t in = 0, out = 0, bits = 0, group = 0;
  int64_t bytes() const;
  /// Without weight and bias.
  int64_t coded_bytes() const;
};

/// Holds a matrix [out, in] as it lies.
DenseWeight dense_weight(const at::Tensor& weight, const at::Tensor& bias);
/// Rounded to codes. Errors: as quantise().
DenseWeight dense_quantised(const at::Tensor& weight, const at::Tensor& bias, int64_t bits, int64_t group);
/// In the codes of a file: fp8 and mxfp4 are expanded a panel at a time, blocks are packed and multiplied in
/// integers, as dense_blocks() says. Errors: as check_coded() and pack_blocks().
DenseWeight dense_coded(const CodedMatrix& matrix, const at::Tensor& bias);

/// y = x·Wᵀ + b.
/// Shapes: x [N, in] of any strides → [N, out], in the type of x: that of W, or f32 or bf16 with codes.
/// Errors: ValueError for other shapes and types, and where x wants a gradient and gradients are recorded.
/// Cost:   2·N·in·out flop; W is read once.
/// Bits:   a row's are the same whatever the other rows and the number of threads.
at::Tensor dense(const at::Tensor& x, const DenseWeight& weight);

}  // namespace gw::ops
