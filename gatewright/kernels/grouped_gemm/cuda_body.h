#pragma once
// Ragged products on a GPU: a block per tile of 64 × 64.
#include "gatewright/kernels/cuda/call.h"
#include "gatewright/kernels/grouped_gemm/cuda.h"
#include "gatewright/kernels/grouped_gemm/cuda_tile.h"
#include "gatewright/kernels/cuda/numbers.h"

namespace gw::kernels::cuda {

/// Rows begin … begin + rows - 1 of an expert; none beyond the last tile.
struct RowTile {
  int64_t expert, begin, rows;
};
/// And 64 of a product's columns: tile `part` of them, from `column` on.
struct ProductTile {
  RowTile rows;
  int64_t part, column;
};

/// Tiles of 64 rows, none across two experts. first[e]: tiles of the experts before e.
struct RowTiles {
  int64_t experts;
  const int64_t *offsets, *first;

  GW_DEVICE RowTile find(int64_t tile) const {
    if (tile >= first[experts]) return {0, 0, 0};
    int64_t low = 0, high = experts;  // first[low] <= tile < first[high]
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (first[middle] <= tile ? low : high) = middle;
    }
    const int64_t begin = offsets[low] + (tile - first[low]) * kTile, left = offsets[low + 1] - begin;
    return {low, begin, left < kTile ? left : kTile};
  }

  /// The tile of a block: the blocks of a tile of rows, for all n columns, lie beside each other.
  GW_DEVICE ProductTile find(int64_t block, int64_t n) const {
    const int64_t columns = (n + kTile - 1) / kTile, part = block % columns;
    return {find(block / columns), part, part * kTile};
  }
};

/// At most this many tiles, whatever the offsets.
inline int64_t most_row_tiles(int64_t rows, int64_t experts) { return rows / kTile + experts; }
inline int64_t tiles_of(int64_t n) { return ceil_div(n, kTile); }

/// One block fills RowTiles::first.
struct RowTilesBody {
  static constexpr int kThreads = kWarp;
  using Shared = Nothing;
  using Private = Nothing;

  int64_t experts;
  const int64_t* offsets;
  int64_t* first;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    block.each([&](int thread, Private&, Shared&) {
      if (thread != 0) return;
      int64_t tiles = 0;
      for (int64_t e = 0; e < experts; ++e) {
        first[e] = tiles;
        tiles += (offsets[e + 1] - offsets[e] + kTile - 1) / kTile;
      }
      first[experts] = tiles;
    });
  }
};

template <class T>
struct RowsProductBody {
  static constexpr int kThreads = kTileThreads;
  using Shared = TileShared<T, 1>;
  using Private = TilePrivate<T, 1>;

  RowsProduct<T> p;
  RowTiles tiles;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const auto place = tiles.find(block.index(), p.n);
    const RowTile& tile = place.rows;
    const int64_t column = place.column;
    if (tile.rows == 0) return;
    start_tile<T, 0>(block, p.bias == nullptr ? nullptr : p.bias + tile.expert * p.n + column, p.n - column);
    for (int f = 0; f < 2; ++f) {
      const auto& by = p.factor[f];
      if (by.rows == nullptr) continue;
      const bool gathered = by.index != nullptr;
      const Strips<T> a{gathered ? by.rows : by.rows + tile.begin * p.k, p.k, tile.rows, p.k, true,
                        gathered ? by.index + tile.begin : nullptr};
      const Strips<T> b{
          by.weights + tile.expert * p.n * p.k, p.across ? p.n : p.k, p.n, p.k, !p.across, nullptr};
      multiply_tile<T, 0>(block, a, 0, b, column);
    }
    finish_tile<T, 0>(block);
    block.each([&](int thread, Private&, Shared& shared) {
      each_value(thread, tile.rows, p.n - column,
                 [&](int r, int c) { p.to[(tile.begin + r) * p.n + column + c] = shared.out[0][r][c]; });
    });
  }
};

template <class T>
struct GroupsProductBody {
  static constexpr int kThreads = kTileThreads;
  using Shared = TileShared<T, 1>;
  using Private = TilePrivate<T, 1>;

  GroupsProduct<T> p;

  GW_DEVICE Strips<T> side(const T* data, int64_t width, const int64_t* index, int64_t begin,
                           int64_t rows) const {
    return {index == nullptr ? data + begin * width : data, width, width, rows, false,
            index == nullptr ? nullptr : index + begin};
  }

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t columns = (p.n + kTile - 1) / kTile, rows = (p.m + kTile - 1) / kTile;
    const int64_t column = block.index() % columns * kTile, row = block.index() / columns % rows * kTile,
                  e = block.index() / columns / rows;
    const int64_t begin = p.offsets[e], count = p.offsets[e + 1] - begin;
    start_tile<T, 0>(block, nullptr, 0);
    multiply_tile<T, 0>(block, side(p.left, p.m, p.left_index, begin, count), row,
                        side(p.right, p.n, p.right_index, begin, count), column);
    finish_tile<T, 0>(block);
    block.each([&](int thread, Private&, Shared& shared) {
      each_value(thread, p.m - row, p.n - column, [&](int r, int c) {
        narrow_to(shared.out[0][r][c], p.to[(e * p.m + row + r) * p.n + column + c]);
      });
    });
  }
};

/// For several products over the same rows.
template <class Device>
RowTiles find_row_tiles(Call<Device>& call, const int64_t* offsets, int64_t experts) {
  auto* first = call.template take<int64_t>(experts + 1);
  call.launch("the search for tiles", 1, RowTilesBody{experts, offsets, first});
  return {experts, offsets, first};
}

template <class T, class Device>
void rows_product(Call<Device>& call, const char* what, const RowsProduct<T>& p, const RowTiles& tiles) {
  call.launch(what, most_row_tiles(p.rows, p.experts) * tiles_of(p.n), RowsProductBody<T>{p, tiles});
}
template <class T, class Device>
void groups_product(Call<Device>& call, const char* what, const GroupsProduct<T>& p) {
  call.launch(what, p.experts * tiles_of(p.m) * tiles_of(p.n), GroupsProductBody<T>{p});
}

template <class T, class Device>
void rows_product(Device& device, const RowsProduct<T>& p) {
  Call<Device> call(device, "grouped_gemm/cuda");
  rows_product(call, "the product", p, find_row_tiles(call, p.offsets, p.experts));
}
template <class T, class Device>
void groups_product(Device& device, const GroupsProduct<T>& p) {
  Call<Device> call(device, "grouped_gemm/cuda");
  groups_product(call, "the product", p);
}

}  // namespace gw::kernels::cuda
