#pragma once
// Gradients of a mixture's experts on a GPU that are sums over rows: of routing weights and of biases.
#include "gatewright/kernels/grouped_gemm/cuda_body.h"
#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels::cuda {

/// Gradients of routing weights: the tiles' sums in order, and dy·bias of the last product. A block per tile
/// of rows.
template <class T>
struct WeightGradientBody {
  static constexpr int kThreads = 128;
  struct Shared {
    float sum[kThreads];
  };
  using Private = Nothing;

  FfnProblem<T> p;
  RowTiles tiles;
  const T* dy;
  const float* dots;
  float* to;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t columns = (p.hidden + kTile - 1) / kTile;
    const auto tile = tiles.find(block.index());
    for (int64_t r = tile.begin; r < tile.begin + tile.rows; ++r) {
      block.each([&](int thread, Private&, Shared& shared) {
        float sum = 0;
        for (int64_t c = thread; c < p.out && p.down.bias != nullptr; c += kThreads) {
          sum = fused(widen(dy[p.token[r] * p.out + c]), p.down.bias[tile.expert * p.out + c], sum);
        }
        shared.sum[thread] = sum;
      });
      fold(block, kThreads, [](Shared& s, int i, int j) { s.sum[i] += s.sum[j]; });
      block.each([&](int thread, Private&, Shared& shared) {
        if (thread != 0) return;
        float sum = 0;
        for (int64_t i = 0; i < columns; ++i) sum += dots[r * columns + i];
        to[r] = sum + shared.sum[0];
      });
    }
  }
};

/// Gradients of biases: to[e] = Σ_rows w·from[row], in order. A block per expert and 128 columns.
template <class T>
struct BiasGradientBody {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Private = Nothing;

  const int64_t *offsets, *index;
  const float* weight;  ///< null: 1
  const T* from;
  int64_t width;
  float* to;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t columns = (width + kThreads - 1) / kThreads, e = block.index() / columns;
    block.each([&](int thread, Private&, Shared&) {
      const int64_t c = block.index() % columns * kThreads + thread;
      if (c >= width) return;
      float sum = 0;
      for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
        sum = fused(weight == nullptr ? 1.f : weight[r],
                    widen(from[(index == nullptr ? r : index[r]) * width + c]), sum);
      }
      to[e * width + c] = sum;
    });
  }
};

}  // namespace gw::kernels::cuda
