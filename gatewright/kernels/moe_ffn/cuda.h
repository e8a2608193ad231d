#pragma once
// The CUDA level of a mixture's experts, for callers that are not compiled by nvcc. Every pointer, those
// inside the structs too, is the device's;
// FfnWeight::packed is not read. T is float or Bf16.
#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels::cuda {

/// As kernels::ffn_forward. `rows`: at least N, which only the device knows (tokens · k).
/// All three return before the work is done. Errors: IoError when there is no device, no memory or no launch;
/// ValueError for more tiles than a launch can have. Same bits for any split of the tokens into calls; f32
/// products have the bits of the CPU's levels, exp and erf differ by rounding.
/// Cost: 2·N·hidden·(2·in + out) flop (GLU) in tiles of 64 × 64; nine launches.
/// Memory: rows·(sizeof(T)·hidden + 4·out + 8) + 16·tokens + 8·experts + 16 bytes.
template <class T, class Device>
void ffn_forward(Device& device, const FfnProblem<T>& p, int64_t rows, float* y, SavedActivations<T> saved);

/// As kernels::ffn_recompute: one product, two launches.
template <class T, class Device>
void ffn_recompute(Device& device, const FfnProblem<T>& p, int64_t rows, SavedActivations<T> saved);

/// As kernels::ffn_backward. Cost: twice the forward's flop; 16 launches at most.
/// Memory: rows·(3·sizeof(T)·hidden + 4·in + 4·⌈hidden / 64⌉ + 8) + 16·tokens + 8·experts + 16 bytes (2
///         instead of 3 without GLU).
template <class T, class Device>
void ffn_backward(Device& device, const FfnProblem<T>& p, int64_t rows, SavedActivations<const T> saved,
                  const T* dy, const FfnGradients<T>& to);

}  // namespace gw::kernels::cuda
