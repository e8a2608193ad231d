#pragma once
// Attention without gradients, a row at a time: no tensor between the steps.
#include <ATen/core/Tensor.h>

namespace gw::ops {

/// Which keys a query sees, and how their scores become chances.
struct AttendCall {
  double scale = 1;
  int64_t window = 0;  ///< tokens that a query sees, itself included; 0: all before it
  at::Tensor sink;     ///< [Hq] a score without a value; undefined: none
  bool causal = true;  ///< false: every query sees every key
};

/// Whether attend_by_rows computes this: all of f32 or all of bf16 on the CPU, one value beside the other, at
/// least one query and one value, and nothing recorded. Never by the number of queries, so that a row has its
/// bits in any case.
bool attend_by_rows_fits(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const AttendCall& call);

/// Math:   as attend() in gatewright/language/blocks/attend.h; scores, chances and sums in f32.
/// Shapes: q [Hq, n, d] the last n of S tokens, k [Hk, S, d], v [Hk, S, dv], whatever lies between heads and
///         tokens → [n, Hq, dv] in the type of q.
/// Bits:   of a row, whatever the other rows are, the number of threads and the level
///         (gatewright/kernels/attend/attend.h).
/// Cost:   2·Hq·n·S·(d + dv) flop, half of it where n = S; keys and values are read once for some dozen rows.
///         Memory: 200 kB a worker, or the scores of one token's heads where these are more; for more queries
///         than share a worker's, the keys once more in f32.
at::Tensor attend_by_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const AttendCall& call);

}  // namespace gw::ops
