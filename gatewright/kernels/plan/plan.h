#pragma once
// Rows sorted by expert: a stable counting sort of expert ids, in parallel, with the same result whatever the
// threads.
#include <cstdint>

#include "gatewright/kernels/thread_pool.h"

namespace gw::kernels {

/// What a slot did wrong: its id is out of range, or its token has that expert already.
struct PlanFault {
  int64_t slot = -1;  ///< the first faulty slot, or -1
  bool twice = false;
};

/// Sorts the slots of ids [tokens, k] (-1: empty) by expert, ties by slot.
/// offsets [experts + 1]; slots [filled slots] in the new order, at most tokens·k.
/// Cost: reads the ids twice and writes the slots once; histograms of 4096 slots each, one prefix sum over
///       experts × chunks, two barriers.
PlanFault sort_slots(const int64_t* ids, int64_t tokens, int64_t k, int64_t experts, int64_t* offsets,
                     int64_t* slots, ThreadPool& pool);

/// The reference: one thread, one pass each.
PlanFault sort_slots_ref(const int64_t* ids, int64_t tokens, int64_t k, int64_t experts, int64_t* offsets,
                         int64_t* slots);

/// The same for ids as published models hand them to experts: an id of `experts` or more stands for nobody
/// here (the expert lies on another rank), an expert twice in a row works twice. One thread: 3 ns per slot.
/// Returns the first slot with a negative id, or -1.
int64_t sort_routes(const int64_t* ids, int64_t tokens, int64_t k, int64_t experts, int64_t* offsets,
                    int64_t* slots);

}  // namespace gw::kernels
