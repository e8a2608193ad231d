#pragma once
// Experts and single matrices whose weights are in the blocks of a file (gatewright/kernels/block_gemm).
#include "gatewright/kernels/block_gemm/block_gemm.h"
#include "gatewright/kernels/moe_ffn/coded_problem.h"

namespace gw::kernels {

/// Stacked weights [E, lanes, k] in panels of 32 outputs: expert by expert, panel by panel, the units of 32 k
/// one after the other. bias: E times `lanes`, or null.
struct BlockWeight {
  const uint8_t* panels = nullptr;
  const float* bias = nullptr;
  BlockForm form;
  bool given() const { return panels != nullptr; }
};

/// Bytes of a panel of k inputs.
inline int64_t panel_bytes(const BlockForm& form, int64_t k) { return k / kBlockK * form.unit_bytes(); }

/// in and hidden are multiples of kBlockK.
template <class T>
using BlockProblem = CodedProblem<T, BlockWeight>;

/// y [tokens, out] (overwritten) = Σ_r weight_r·expert(x_token(r)); rows and the inner activations are
/// rounded to fixed point, block by block of 32 k: to 8 bits beside codes of 4, to 16 beside codes of 8.
/// Error:  of each factor, at most 2^-8 (2^-16) of its block's largest magnitude.
/// Bits:   of a token, whatever the other rows are.
/// Cost:   reads the units of experts with rows, once per 128 rows; at most four barriers.
/// Memory: at most 2·tokens·in + N·hidden·(2 + sizeof(T)) bytes and their scales, and 32 kB a worker.
template <class T>
void block_forward(const BlockGemmTable& table, const FfnLevel<T>& level, const BlockProblem<T>& p, float* y,
                   ThreadPool& pool, Arena& arena);

template <class T>
using BlockLinearProblem = ProductProblem<T, BlockWeight>;
/// Rounding, bits and cost as block_forward().
template <class T>
void block_linear(const BlockGemmTable& table, const FfnLevel<T>& level, const BlockLinearProblem<T>& p,
                  ThreadPool& pool, Arena& arena);

}  // namespace gw::kernels
