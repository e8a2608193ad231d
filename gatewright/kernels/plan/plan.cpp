#include "gatewright/kernels/plan/plan.h"

#include <algorithm>
#include <vector>

namespace gw::kernels {
namespace {

// Rows of ids per chunk: small enough to share out, large enough that a histogram of 128 experts is a few per
// cent of it.
constexpr int64_t kChunkSlots = 4096;

// Counts a stretch of slots; experts are compared within a token (k is small) instead of being remembered.
PlanFault count(const int64_t* ids, int64_t begin, int64_t end, int64_t k, int64_t experts, int64_t* counts) {
  for (int64_t slot = begin; slot < end; ++slot) {
    const int64_t id = ids[slot];
    if (id == -1) continue;
    if (id < 0 || id >= experts) return {slot, false};
    for (int64_t other = slot - slot % k; other < slot; ++other) {
      if (ids[other] == id) return {slot, true};
    }
    ++counts[id];
  }
  return {};
}

}  // namespace

PlanFault sort_slots_ref(const int64_t* ids, int64_t tokens, int64_t k, int64_t experts, int64_t* offsets,
                         int64_t* slots) {
  std::fill_n(offsets, experts + 1, 0);
  const auto fault = count(ids, 0, tokens * k, k, experts, offsets + 1);
  if (fault.slot >= 0) return fault;
  for (int64_t e = 0; e < experts; ++e) offsets[e + 1] += offsets[e];
  std::vector<int64_t> next(offsets, offsets + experts);
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    if (ids[slot] >= 0) slots[next[static_cast<size_t>(ids[slot])]++] = slot;
  }
  return {};
}

PlanFault sort_slots(const int64_t* ids, int64_t tokens, int64_t k, int64_t experts, int64_t* offsets,
                     int64_t* slots, ThreadPool& pool) {
  const int64_t rows = std::max<int64_t>(1, kChunkSlots / std::max<int64_t>(k, 1)),
                chunks = (tokens + rows - 1) / rows;
  if (chunks <= 1 || pool.workers() == 1) return sort_slots_ref(ids, tokens, k, experts, offsets, slots);
  std::vector<int64_t> counts(static_cast<size_t>(chunks * experts));
  std::vector<PlanFault> faults(static_cast<size_t>(chunks));
  const auto end_of = [&](int64_t chunk) { return std::min((chunk + 1) * rows, tokens) * k; };
  pool.run(chunks, [&](int64_t chunk, int) {
    faults[static_cast<size_t>(chunk)] =
        count(ids, chunk * rows * k, end_of(chunk), k, experts, counts.data() + chunk * experts);
  });
  for (const auto& fault : faults) {
    if (fault.slot >= 0) return fault;
  }
  int64_t next = 0;  // expert by expert, chunk by chunk: where each chunk's rows of each expert begin
  for (int64_t e = 0; e < experts; ++e) {
    offsets[e] = next;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      auto& n = counts[static_cast<size_t>(chunk * experts + e)];
      next += n;
      n = next - n;
    }
  }
  offsets[experts] = next;
  pool.run(chunks, [&](int64_t chunk, int) {
    int64_t* place = counts.data() + chunk * experts;
    for (int64_t slot = chunk * rows * k; slot < end_of(chunk); ++slot) {
      if (ids[slot] >= 0) slots[place[ids[slot]]++] = slot;
    }
  });
  return {};
}

int64_t sort_routes(const int64_t* ids, int64_t tokens, int64_t k, int64_t experts, int64_t* offsets,
                    int64_t* slots) {
  std::fill_n(offsets, experts + 1, 0);
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    if (ids[slot] < 0) return slot;
    if (ids[slot] < experts) ++offsets[ids[slot] + 1];
  }
  for (int64_t e = 0; e < experts; ++e) offsets[e + 1] += offsets[e];
  std::vector<int64_t> next(offsets, offsets + experts);
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    if (ids[slot] < experts) slots[next[static_cast<size_t>(ids[slot])]++] = slot;
  }
  return -1;
}

}  // namespace gw::kernels
