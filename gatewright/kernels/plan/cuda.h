#pragma once
// The CUDA level of the counting sort, for callers that are not compiled by nvcc. Every pointer is the
// device's.
#include "gatewright/kernels/cuda/fault.h"
#include "gatewright/kernels/plan/plan.h"

namespace gw::kernels::cuda {

/// As kernels::sort_slots, with the same result. *fault is what fault_of() reads; slots of a faulty id are
/// left out.
/// Returns before the work is done. Errors: IoError when there is no device, no memory or no launch.
/// Cost: four launches; each chunk of 1024 slots is scanned once per expert and launch, by a thread per
///       expert, from shared memory.
/// Memory: 8·experts bytes per chunk.
template <class Device>
void sort_slots(Device& device, const int64_t* ids, int64_t tokens, int64_t k, int64_t experts,
                int64_t* offsets, int64_t* slots, int64_t* fault);

/// What sort_slots() left in *fault, copied to the host.
inline PlanFault fault_of(int64_t fault) {
  return fault == kNoFault ? PlanFault{} : PlanFault{fault / 2, fault % 2 != 0};
}

}  // namespace gw::kernels::cuda
