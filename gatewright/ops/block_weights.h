#pragma once
// Weights that stay in the blocks of a file (GGUF's), in the order of the kernels.
#include "gatewright/ops/coded.h"

namespace gw::ops {

/// How a file codes blocks of neighbouring values of an output.
/// Math: w = (u - offset)·scale + minimum of its group, u without sign.
struct BlockType {
  const char* name;
  int64_t values, bytes;  ///< of a block; values is a multiple of 32, at most 256
  int64_t bits,
      group;       ///< of u as the kernels hold it, 4 or 8; values that share a scale: 32, or 16 of 8 bits
  bool minimum;    ///< else 0
  int32_t offset;  ///< 0 where there are minima
  /// One block: values u, and values / group scales and (with minima) minima.
  void (*read)(const uint8_t* block, uint8_t* u, float* scales, float* minima);
};

/// Matrices of one type, an expert's after the other, in panels (gatewright/kernels/block_gemm). Scales and
/// minima are f16: those of blocks of 32 values are so in the files, products of two factors (Q4_K, Q6_K) are
/// rounded, by 2^-12 at most.
struct BlockPanels {
  at::Tensor panels;  ///< uint8
  const BlockType* type = nullptr;
  int64_t experts = 0, out = 0, in = 0;
  bool defined() const { return panels.defined(); }
  int64_t bytes() const { return defined() ? static_cast<int64_t>(panels.nbytes()) : 0; }
};

/// Bytes of the panels of [experts, out, in].
int64_t block_panel_bytes(const BlockType& type, int64_t experts, int64_t out, int64_t in);
/// Errors: ValueError for matrices of other forms, of several sizes or types, and for scales beyond f16.
/// Cost:   one reading of the codes and one writing.
BlockPanels pack_blocks(const std::vector<CodedMatrix>& experts);
/// Rows `id` [n] of a matrix in blocks as f32 [n, in]. Errors: ValueError for ids outside of it.
at::Tensor block_rows(const CodedMatrix& matrix, const at::Tensor& id);

/// A layer's experts.
struct BlockFfn {
  BlockPanels gate, up, down;                ///< gate may be undefined
  at::Tensor gate_bias, up_bias, down_bias;  ///< f32 [E, H], [E, H], [E, O], or undefined
  int64_t bytes() const;                     ///< of panels and biases
};
/// Packs the matrices of a layer, all of which are in blocks. Errors: as pack_blocks().
BlockFfn pack_block_ffn(const CodedFfn& codes);

/// x [N, in]·Wᵀ + bias [N, out] with the matrix of expert 0, for inference, in integer arithmetic: x is
/// rounded to fixed point in blocks of 32 (to 8 bits beside codes of 4, as llama.cpp does, to 16 beside codes
/// of 8). `bias`: f32, or undefined.
/// Bits:   of a row, whatever the other rows, threads and levels.
/// Cost:   reads the panels once for 128 rows.
at::Tensor dense_blocks(const at::Tensor& x, const BlockPanels& weight, const at::Tensor& bias);

/// moe_ffn with these weights; rounding as dense_blocks(), of the inner activations too.
/// Errors: as moe_ffn_coded.
at::Tensor moe_ffn_blocks(const at::Tensor& x, const at::Tensor& token, const std::vector<int64_t>& offsets,
                          const at::Tensor& weight, const BlockFfn& weights, const FfnOptions& options = {});

}  // namespace gw::ops
