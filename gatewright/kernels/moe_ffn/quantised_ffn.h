#pragma once
// A mixture's experts with weights of 8 or 4 bits: the forward pass in integer arithmetic
// (gatewright/kernels/qgemm).
#include "gatewright/kernels/qgemm/qgemm.h"
#include "gatewright/kernels/moe_ffn/coded_problem.h"

namespace gw::kernels {

/// Stacked codes [E, lanes, k] in panels, as pack_quantised() makes them. bias: E times `lanes`, or null.
struct QuantisedWeight {
  const uint8_t* codes = nullptr;
  const float *scales = nullptr, *bias = nullptr;
  int64_t bits = 8, group = 0;  ///< group: k per scale, a multiple of kQgemmStep that may exceed k
  bool given() const { return codes != nullptr; }
};

template <class T>
using QuantisedProblem = CodedProblem<T, QuantisedWeight>;

/// y [tokens, out] (overwritten) = Σ_r weight_r·expert(x_token(r)); rows and the inner activations are
/// rounded to fixed point: with codes of 8 bits to 16 bits in blocks of up to 512 k that divide a group, with
/// codes of 4 bits to 8 bits in blocks of up to 128.
/// Error:  of each factor, at most 2^-16 (codes of 4 bits: 2^-8) of its block's largest magnitude.
/// Cost:   reads bits / 8 bytes per weight of an expert with rows, once per 128 rows; four barriers.
/// Memory: N·(2·in + 2·hidden + sizeof(T)·hidden) + 2·tokens·in bytes, and a megabyte a worker.
template <class T>
void quantised_forward(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedProblem<T>& p,
                       float* y, ThreadPool& pool, Arena& arena);

/// Bytes of codes and number of scales of [experts, lanes, k].
struct QuantisedSize {
  int64_t bytes, scales;
};
QuantisedSize quantised_size(int64_t experts, int64_t lanes, int64_t k, int64_t bits, int64_t group);
/// Orders codes [experts, lanes, k] (int8, of 4 bits from -8 to 7) and scales [experts, lanes, groups] in
/// panels. The same for every level.
void pack_quantised(const int8_t* codes, const float* scales, int64_t experts, int64_t lanes, int64_t k,
                    int64_t bits, int64_t group, uint8_t* to_codes, float* to_scales, ThreadPool& pool);

}  // namespace gw::kernels
