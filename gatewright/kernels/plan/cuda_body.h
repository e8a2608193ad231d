#pragma once
// The counting sort on a GPU: a chunk of slots per block, a thread per expert. Nothing is atomic, so equal
// ids keep their order.
#include "gatewright/kernels/cuda/block.h"
#include "gatewright/kernels/cuda/call.h"
#include "gatewright/kernels/cuda/smallest.h"
#include "gatewright/kernels/plan/cuda.h"

namespace gw::kernels::cuda {

/// Slots of a block: 8 kB of ids in shared memory, 16 blocks for 2048 tokens of 8 experts.
inline constexpr int64_t kChunk = 1024;

/// Histogram of one chunk, and its first fault as 2·slot + (twice ? 1 : 0).
struct CountSlotsBody {
  static constexpr int kThreads = 128;
  struct Shared {
    int64_t id[kChunk], fault[kThreads];
  };
  using Private = Nothing;

  const int64_t* ids;
  int64_t total, k, experts;
  int64_t *counts, *faults;  ///< [chunks, experts], [chunks]

  GW_DEVICE int64_t fault_at(int64_t slot) const {
    const int64_t id = ids[slot];
    if (id == -1) return kNoFault;
    if (id < 0 || id >= experts) return 2 * slot;
    for (int64_t other = slot - slot % k; other < slot; ++other) {
      if (ids[other] == id) return 2 * slot + 1;
    }
    return kNoFault;
  }

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t chunk = block.index(), begin = chunk * kChunk, left = total - begin,
                  n = left < kChunk ? left : kChunk;
    block.each([&](int thread, Private&, Shared& shared) {
      int64_t fault = kNoFault;
      for (int64_t i = thread; i < n; i += kThreads) {
        shared.id[i] = ids[begin + i];
        const int64_t found = fault_at(begin + i);
        fault = found < fault ? found : fault;
      }
      shared.fault[thread] = fault;
    });
    block.each([&](int thread, Private&, Shared& shared) {
      for (int64_t e = thread; e < experts; e += kThreads) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; ++i) count += shared.id[i] == e ? 1 : 0;
        counts[chunk * experts + e] = count;
      }
    });
    fold(block, kThreads,
         [](Shared& s, int i, int j) { s.fault[i] = s.fault[j] < s.fault[i] ? s.fault[j] : s.fault[i]; });
    block.each([&](int thread, Private&, Shared& shared) {
      if (thread == 0) faults[chunk] = shared.fault[0];
    });
  }
};

/// One block: offsets, and each chunk's counts turned into where its rows of an expert begin.
struct OffsetsBody {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Private = Nothing;

  int64_t chunks, experts;
  int64_t *counts, *offsets;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    block.each([&](int thread, Private&, Shared&) {
      for (int64_t e = thread; e < experts; e += kThreads) {
        int64_t total = 0;
        for (int64_t c = 0; c < chunks; ++c) {
          const int64_t n = counts[c * experts + e];
          counts[c * experts + e] = total;
          total += n;
        }
        offsets[e + 1] = total;
      }
      if (thread == 0) offsets[0] = 0;
    });
    block.each([&](int thread, Private&, Shared&) {
      for (int64_t e = 0; e < experts && thread == 0; ++e) offsets[e + 1] += offsets[e];
    });
    block.each([&](int thread, Private&, Shared&) {
      for (int64_t e = thread; e < experts; e += kThreads) {
        for (int64_t c = 0; c < chunks; ++c) counts[c * experts + e] += offsets[e];
      }
    });
  }
};

/// Slots of one chunk in their places.
struct PlaceSlotsBody {
  static constexpr int kThreads = 128;
  struct Shared {
    int64_t id[kChunk];
  };
  using Private = Nothing;

  const int64_t* ids;
  int64_t total, experts;
  const int64_t* begins;
  int64_t* slots;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t chunk = block.index(), begin = chunk * kChunk, left = total - begin,
                  n = left < kChunk ? left : kChunk;
    block.each([&](int thread, Private&, Shared& shared) {
      for (int64_t i = thread; i < n; i += kThreads) shared.id[i] = ids[begin + i];
    });
    block.each([&](int thread, Private&, Shared& shared) {
      for (int64_t e = thread; e < experts; e += kThreads) {
        int64_t next = begins[chunk * experts + e];
        for (int64_t i = 0; i < n; ++i) {
          if (shared.id[i] == e) slots[next++] = begin + i;
        }
      }
    });
  }
};

template <class Device>
void sort_slots(Device& device, const int64_t* ids, int64_t tokens, int64_t k, int64_t experts,
                int64_t* offsets, int64_t* slots, int64_t* fault) {
  Call<Device> call(device, "plan/cuda");
  const int64_t total = tokens * k, chunks = (total + kChunk - 1) / kChunk;
  auto* counts = call.template take<int64_t>(chunks * experts);
  auto* faults = call.template take<int64_t>(chunks);
  call.launch("the histogram", chunks, CountSlotsBody{ids, total, k, experts, counts, faults});
  call.launch("the prefix sum", 1, OffsetsBody{chunks, experts, counts, offsets});
  call.launch("the placement", chunks, PlaceSlotsBody{ids, total, experts, counts, slots});
  call.launch("the search for faults", 1, SmallestBody{faults, chunks, fault});
}

}  // namespace gw::kernels::cuda
