#pragma once
// What a mixture's experts need on a GPU beside ragged products: those whose tiles end in an activation or
// its derivative. Sums over rows are in cuda_sums.h.
#include "gatewright/kernels/grouped_gemm/cuda_body.h"
#include "gatewright/kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels::cuda {

/// gate and up products of a tile of rows, then h = f(gate)·up (f(up) without gate); also what is kept for
/// the backward pass. h may be null.
template <class T>
struct InnerBody {
  static constexpr int kThreads = kTileThreads;
  using Shared = TileShared<T, 2>;
  using Private = TilePrivate<T, 2>;

  FfnProblem<T> p;
  RowTiles tiles;
  SavedActivations<T> saved;
  T* h;

  template <int S, class Block>
  GW_DEVICE void product(Block& block, const FfnWeight<T>& w, const RowTile& tile, int64_t column) const {
    const Strips<T> x{p.x, p.in, tile.rows, p.in, true, p.token + tile.begin};
    start_tile<T, S>(block, w.bias == nullptr ? nullptr : w.bias + tile.expert * p.hidden + column,
                     p.hidden - column);
    multiply_tile<T, S>(
        block, x, 0, Strips<T>{w.data + tile.expert * p.hidden * p.in, p.in, p.hidden, p.in, true, nullptr},
        column);
  }

  template <Activation A>
  GW_DEVICE float gated(float gate, float up) const {
    if (!p.bounds.given) return at<A>(gate).f * up;
    const float limit = static_cast<float>(p.bounds.limit);
    return at<A>(at_most(gate, limit)).f * (within(up, limit) + static_cast<float>(p.bounds.shift));
  }

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const auto place = tiles.find(block.index(), p.hidden);
    const RowTile& tile = place.rows;
    const int64_t column = place.column;
    if (tile.rows == 0) return;
    const bool glu = p.gate.data != nullptr;
    product<0>(block, p.up, tile, column);
    if (glu) product<1>(block, p.gate, tile, column);
    finish_tile<T, 0>(block);
    if (glu) finish_tile<T, 1>(block);
    block.each([&](int thread, Private&, Shared& shared) {
      with(p.activation, [&](auto tag) {
        each_value(thread, tile.rows, p.hidden - column, [&](int r, int c) {
          const int64_t to = (tile.begin + r) * p.hidden + column + c;
          const float up = shared.out[0][r][c], gate = glu ? shared.out[1][r][c] : up;
          if (h != nullptr)
            narrow_to(glu ? this->template gated<tag.value>(gate, up) : at<tag.value>(up).f, h[to]);
          if (saved.gate != nullptr) narrow_to(gate, saved.gate[to]);
          if (saved.up != nullptr) narrow_to(up, saved.up[to]);
        });
      });
    });
  }
};

/// What the derivative of the activation gives, each [N, hidden], and d·h summed over each tile's columns:
/// [N, tiles of columns].
template <class T>
struct InnerGradients {
  T *weighted, *up, *gate;
  float* dots;
};

/// d = dy·down of a tile of rows, then weighted = w·h, d_up = w·d·f(gate), d_gate = w·d·up·f'(gate) (d_up =
/// w·d·f'(up) without gate).
template <class T>
struct InnerGradientBody {
  static constexpr int kThreads = kTileThreads;
  using Shared = TileShared<T, 1>;
  using Private = TilePrivate<T, 1>;

  FfnProblem<T> p;
  RowTiles tiles;
  SavedActivations<const T> saved;
  const T* dy;
  InnerGradients<T> to;

  GW_DEVICE float bounded_up(float up) const {
    return p.bounds.given
               ? within(up, static_cast<float>(p.bounds.limit)) + static_cast<float>(p.bounds.shift)
               : up;
  }

  // One value; returns d·h.
  template <Activation A>
  GW_DEVICE float value(int64_t place, float w, float d) const {
    const float up = widen(saved.up[place]), wd = w * d;
    float h;
    if (p.gate.data != nullptr) {
      const float gate = widen(saved.gate[place]), limit = static_cast<float>(p.bounds.limit),
                  factor = bounded_up(up);
      const auto v = at<A>(p.bounds.given ? at_most(gate, limit) : gate);
      h = v.f * factor;
      narrow_to(p.bounds.given && (up > limit || up < -limit) ? 0.f : wd * v.f, to.up[place]);
      narrow_to(p.bounds.given && gate > limit ? 0.f : wd * factor * v.slope, to.gate[place]);
    } else {
      const auto v = at<A>(up);
      h = v.f;
      narrow_to(wd * v.slope, to.up[place]);
    }
    narrow_to(w * h, to.weighted[place]);
    return d * h;
  }

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const auto place = tiles.find(block.index(), p.hidden);
    const RowTile& tile = place.rows;
    const int64_t column = place.column;
    if (tile.rows == 0) return;
    start_tile<T, 0>(block, nullptr, 0);
    const Strips<T> down{
        p.down.data + tile.expert * p.out * p.hidden, p.hidden, p.hidden, p.out, false, nullptr};
    multiply_tile<T, 0>(block, Strips<T>{dy, p.out, tile.rows, p.out, true, p.token + tile.begin}, 0, down,
                        column);
    finish_tile<T, 0>(block);
    block.each([&](int thread, Private&, Shared& shared) {
      with(p.activation, [&](auto tag) {
        each_value(thread, tile.rows, kTile, [&](int r, int c) {
          float& d = shared.out[0][r][c];
          d = column + c < p.hidden
                  ? this->template value<tag.value>((tile.begin + r) * p.hidden + column + c,
                                                    p.weight[tile.begin + r], d)
                  : 0.f;
        });
      });
    });
    block.each([&](int thread, Private&, Shared& shared) {
      if (thread >= tile.rows) return;
      float sum = 0;
      for (int c = 0; c < kTile; ++c) sum += shared.out[0][thread][c];
      to.dots[(tile.begin + thread) * ((p.hidden + kTile - 1) / kTile) + place.part] = sum;
    });
  }
};

}  // namespace gw::kernels::cuda
