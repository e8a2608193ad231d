#pragma once
// The CUDA level of top_k, for callers that are not compiled by nvcc. Every pointer is the device's.
#include "gatewright/kernels/cuda/fault.h"
#include "gatewright/kernels/top_k/top_k.h"

namespace gw::kernels::cuda {

/// As TopKTable<float>::run. *fault: the first row that holds a NaN, or kNoFault; such a row gets experts -1
/// and weights NaN, others are as usual.
/// Returns before the work is done. Errors: IoError when there is no device, no memory or no launch.
/// Cost: two launches; reads the scores k + 3 times, all but once from the first cache.
template <class Device>
void top_k(Device& device, const float* scores, int64_t rows, int64_t experts, int64_t k, Score f,
           bool renormalise, int64_t* expert, float* weight, int64_t* fault);

}  // namespace gw::kernels::cuda
