#pragma once
// top_k on a GPU: a warp per row.
#include "gatewright/kernels/cuda/call.h"
#include "gatewright/kernels/cuda/smallest.h"
#include "gatewright/kernels/top_k/cuda.h"

namespace gw::kernels::cuda {

/// One row. Scores are read k + 3 times (from the first cache): the next best is the best of those behind the
/// last one in the order of values and then places, so that nothing needs to remember what was taken and rows
/// may have any length.
struct TopKBody {
  static constexpr int kThreads = kWarp;
  struct Shared {
    float value[kWarp];
    int64_t place[kWarp];
    bool nan[kWarp];
  };
  struct Private {
    float top, total, last_value;
    int64_t last_place;
    bool nan;
  };

  const float* scores;
  int64_t experts, k;
  Score f;
  bool renormalise;
  int64_t* expert;
  float* weight;
  int64_t* fault;  ///< [rows]: the row itself if it holds a NaN, else kNoFault

  GW_DEVICE static bool before(float value, int64_t place, float than, int64_t than_place) {
    return value > than || (value == than && place < than_place);
  }

  GW_DEVICE float weigh(float score, float top, float total) const {
    if (f == Score::identity) return score;
    if (f == Score::sigmoid) return 1.f / (1.f + exp_of(-score));
    return score == -INFINITY ? 0.f : exp_of(score - top) / total;
  }

  // Largest score, whether one is NaN, and the sum of exponentials, in the thread's own part and then in the
  // order of a tree.
  template <class Block>
  GW_DEVICE void survey(Block& block, const float* row) const {
    block.each([&](int thread, Private&, Shared& shared) {
      float top = -INFINITY;
      bool nan = false;
      for (int64_t e = thread; e < experts; e += kWarp) {
        nan = nan || row[e] != row[e];
        top = row[e] > top ? row[e] : top;
      }
      shared.value[thread] = top, shared.nan[thread] = nan;
    });
    fold(block, kWarp, [](Shared& s, int i, int j) {
      s.value[i] = s.value[j] > s.value[i] ? s.value[j] : s.value[i];
      s.nan[i] = s.nan[i] || s.nan[j];
    });
    block.each([&](int, Private& mine, Shared& shared) {
      mine.top = shared.value[0], mine.nan = shared.nan[0];
      mine.total = 1, mine.last_value = INFINITY, mine.last_place = -1;
    });
    if (f != Score::softmax) return;
    block.each([&](int thread, Private& mine, Shared& shared) {
      float sum = 0;
      for (int64_t e = thread; e < experts; e += kWarp)
        sum += row[e] == -INFINITY ? 0.f : exp_of(row[e] - mine.top);
      shared.value[thread] = sum;
    });
    fold(block, kWarp, [](Shared& s, int i, int j) { s.value[i] += s.value[j]; });
    block.each([&](int, Private& mine, Shared& shared) { mine.total = shared.value[0]; });
  }

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t r = block.index();
    const float* row = scores + r * experts;
    survey(block, row);
    for (int64_t j = 0; j < k; ++j) {
      block.each([&](int thread, Private& mine, Shared& shared) {
        float best = -INFINITY;
        int64_t place = experts;  // none
        for (int64_t e = thread; e < experts; e += kWarp) {
          if (before(mine.last_value, mine.last_place, row[e], e) && before(row[e], e, best, place))
            best = row[e], place = e;
        }
        shared.value[thread] = best, shared.place[thread] = place;
      });
      fold(block, kWarp, [](Shared& s, int a, int b) {
        if (before(s.value[b], s.place[b], s.value[a], s.place[a]))
          s.value[a] = s.value[b], s.place[a] = s.place[b];
      });
      block.each([&](int thread, Private& mine, Shared& shared) {
        mine.last_value = shared.value[0], mine.last_place = shared.place[0];
        if (thread != 0) return;
        expert[r * k + j] = mine.nan ? -1 : mine.last_place;
        weight[r * k + j] = mine.nan ? NAN : weigh(mine.last_value, mine.top, mine.total);
      });
    }
    block.each([&](int thread, Private& mine, Shared&) {
      if (thread != 0) return;
      fault[r] = mine.nan ? r : kNoFault;
      float sum = 0;
      for (int64_t j = 0; j < k; ++j) sum += weight[r * k + j];
      for (int64_t j = 0; j < k && renormalise && sum != 0; ++j) weight[r * k + j] /= sum;
    });
  }
};

template <class Device>
void top_k(Device& device, const float* scores, int64_t rows, int64_t experts, int64_t k, Score f,
           bool renormalise, int64_t* expert, float* weight, int64_t* fault) {
  Call<Device> call(device, "top_k/cuda");
  auto* faults = call.template take<int64_t>(rows);
  call.launch("the selection", rows, TopKBody{scores, experts, k, f, renormalise, expert, weight, faults});
  call.launch("the search for NaN", 1, SmallestBody{faults, rows, fault});
}

}  // namespace gw::kernels::cuda
