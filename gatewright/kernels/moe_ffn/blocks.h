#pragma once
// Products of packed rows with columns that are packed on the way: shared by the forward and backward
// drivers. Portable code.
#include <algorithm>
#include <vector>

#include "gatewright/kernels/moe_ffn/columns.h"
#include "gatewright/kernels/moe_ffn/small_m.h"
#include "gatewright/kernels/moe_ffn/lines.h"

namespace gw::kernels {

// GemmTable::block_bytes and block_depth. AVX-512, E = 8, D = 1024, H = 3584, one core of a Sapphire Rapids
// class machine, 512 kB: 256 k of f32 → 154, 512 → 156, 1024 → 152, 2048 → 145 GFLOP/s; a megabyte and 512 k:
// 153.
/// The same where rows are taken by pairs of panels and columns are packed already: both rows' and columns'
/// stretches then stay in the first-level cache while a pair's tiles are summed. bf16, T = 2048, O, two cores
/// of the same machine: 1024 k → 161 ms, 512 → 170, 256 → 145 (183 without pairs). Columns that are packed on
/// the way are read in rows of so many bytes, which memory likes long: O, training: 256 k → 719 ms, 1024 →
/// 699.
constexpr int64_t kPairDepth = 512;
constexpr int64_t kMostPanels = 16;
/// Panels of rows whose tiles are summed together: 40 panels of 14 rows amortise a block's packing over 560
/// rows.
constexpr int64_t kRowPanels = 40;

/// Units of a panel of columns in a block of `depth` bytes of k.
template <class T>
int64_t block_units(const GemmTable<T>& gemm, int64_t k, int64_t depth) {
  return std::clamp<int64_t>(ceil_div(k, gemm.group), 1,
                             depth / (gemm.group * static_cast<int64_t>(sizeof(T))));
}
template <class T>
int64_t block_units(const GemmTable<T>& gemm, int64_t k) {
  return block_units(gemm, k, gemm.block_depth);
}

/// Units of a block of stripe b for `panels` panels of rows. A single panel, or pair, reads packed columns
/// once: long stretches are then best.
template <class T>
int64_t k_tile_units(const GemmTable<T>& gemm, const Stripe<T>& b, int64_t panels) {
  const bool packed = b.m.packed != nullptr;
  if (packed && panels == 1) return std::max<int64_t>(ceil_div(b.m.k, gemm.group), 1);
  return block_units(gemm, b.m.k,
                     packed && panels > 2 && gemm.pair != nullptr ? kPairDepth : gemm.block_depth);
}

/// What stripe b's block of up to `tile_units` units from unit u on will read.
template <class T>
void add_block(Lines& lines, const GemmTable<T>& gemm, const Stripe<T>& b, int64_t u, int64_t tile_units,
               int64_t part, int64_t parts) {
  const int64_t units = ceil_div(b.m.k, gemm.group), n = std::min(tile_units, units - u),
                unit = gemm.cols * gemm.group;
  const int64_t k0 = u * gemm.group, k = std::min(n * gemm.group, b.m.k - k0),
                size = static_cast<int64_t>(sizeof(T));
  if (b.m.coded != nullptr) return;  // few bytes, which the processor sees coming
  const int64_t lane0 = b.panel * gemm.cols, lanes_left = std::min(b.panels * gemm.cols, b.m.lanes - lane0);
  if (b.m.packed != nullptr) {
    lines.add(b.panels, n * unit * size, part, parts,
              [&](int64_t p) { return b.m.packed + ((b.panel + p) * units + u) * unit; });
  } else if (b.m.k_contiguous) {
    lines.add(lanes_left, k * size, part, parts, [&](int64_t lane) { return b.m.at(lane0 + lane) + k0; });
  } else {
    lines.add(k, lanes_left * size, part, parts, [&](int64_t j) { return b.m.at(k0 + j) + lane0; });
  }
}

/// Rows of one expert that a product takes: panels [first, first + count); rows_of(i) rows of panel first + i
/// are real.
template <class T, class RowsOf>
struct RowBlock {
  Panels<T> panels;
  int64_t first, count;
  RowsOf rows_of;
};
template <class T, class RowsOf>
RowBlock(Panels<T>, int64_t, int64_t, RowsOf) -> RowBlock<T, RowsOf>;

/// Packs the units [u, u + n) of a stripe, or finds them packed. Panel p is at block.data + p·block.step.
template <class T>
struct PackedBlock {
  const T* data;
  int64_t step;
};
template <class T>
PackedBlock<T> packed_block(const GemmTable<T>& gemm, const Stripe<T>& b, int64_t u, int64_t n, T* scratch) {
  const int64_t units = ceil_div(b.m.k, gemm.group), unit = gemm.cols * gemm.group;
  if (b.m.packed != nullptr) return {b.m.packed + (b.panel * units + u) * unit, units * unit};
  const int64_t k = std::min(n * gemm.group, b.m.k - u * gemm.group);
  for (int64_t p = 0; p < b.panels; ++p)
    pack_panel(gemm, b.m, (b.panel + p) * gemm.cols, gemm.cols, u * gemm.group, k, scratch + p * n * unit);
  return {scratch, n * unit};
}

/// Tiles one after the other, each of rows × cols sums.
template <class T>
using Tiles = Sums<typename SumOf<T>::type>;

/// Panels [i, i + taken) of rows, one or two, by one panel of columns. `rows`: of panel i, from the block's k
/// on; `sums`: its tile, `apart` values before the next panel's.
template <class T, class Rows>
void multiply_panel(const GemmTable<T>& gemm, const Rows& a, int64_t i, int64_t taken, const T* rows,
                    const T* columns, int64_t units, Tiles<T> sums, int64_t apart, PrefetchHints hints) {
  if (taken == 1) return gemm.tile(rows, columns, units, a.rows_of(i), sums, hints);
  gemm.pair(rows, rows + a.panels.stride, columns, units, a.rows_of(i + 1), sums,
            {sums.at + apart, sums.stride, sums.fresh}, hints);
}

/// tiles[s][i][p] = (what it holds, or 0 when fresh) + row panel i · column panel p of stripe s, through all
/// k; all stripes have the same k. What comes next (the next block of k, then the first of `then`) is asked
/// for while this is computed: a block of weights that comes from memory takes as long as a quarter of its
/// arithmetic at 128 rows per expert.
template <class T, class Rows, size_t N>
void multiply_block(const GemmTable<T>& gemm, const Rows& a, const Stripe<T> (&b)[N],
                    const Tiles<T> (&tiles)[N], T* scratch, const Stripe<T>* then) {
  const int64_t units = ceil_div(b[0].m.k, gemm.group), unit_a = gemm.rows * gemm.group, panels = b[0].panels,
                tile = gemm.rows * gemm.cols;
  const int64_t tile_units = k_tile_units(gemm, b[0], a.count);
  for (int64_t u = 0; u < units; u += tile_units) {
    const int64_t n = std::min(tile_units, units - u),
                  row_bytes = n * unit_a * static_cast<int64_t>(sizeof(T));
    const bool last = u + n == units;
    PackedBlock<T> block[N];
    for (size_t s = 0; s < N; ++s)
      block[s] = packed_block(gemm, b[s], u, n,
                              scratch + static_cast<int64_t>(s) * panels * n * gemm.cols * gemm.group);
    for (int64_t i = 0, taken = 1; i < a.count; i += taken) {
      taken = gemm.pair != nullptr && i + 1 < a.count ? 2 : 1;
      const int64_t after = i + taken, rows_after = std::min(taken, a.count - after);
      const T* rows = a.panels.data + (a.first + i) * a.panels.stride + u * unit_a;
      for (int64_t p = 0; p < panels; ++p) {
        for (size_t s = 0; s < N; ++s) {
          const int64_t part = static_cast<int64_t>(s) + static_cast<int64_t>(N) * p,
                        parts = static_cast<int64_t>(N) * panels;
          const bool from_memory = a.count == 1 && b[s].m.packed != nullptr;
          Lines lines(from_memory, from_memory && then != nullptr ? first_packed(gemm, *then) : nullptr);
          if (rows_after > 0)
            lines.add(rows_after, row_bytes, part, parts,
                      [&](int64_t j) { return rows + (taken + j) * a.panels.stride; });
          for (int64_t j = i; j < after && !last; ++j)
            add_block(lines, gemm, b[s], u + n, tile_units, j * panels + p, a.count * panels);
          for (int64_t j = i; j < after && last && then != nullptr && !from_memory; ++j)
            add_block(lines, gemm, *then, 0, tile_units, j * parts + part, a.count * parts);
          const Tiles<T> sums{tiles[s].at + (i * panels + p) * tile, gemm.cols, tiles[s].fresh && u == 0};
          multiply_panel(gemm, a, i, taken, rows, block[s].data + p * block[s].step, n, sums, panels * tile,
                         lines.hints());
        }
      }
    }
  }
}

/// The same for whole stripes. A single panel of rows uses its weights once: they are then read from end to
/// end, as memory likes it: stripe by stripe, and within one the panels in the order in which they lie.
template <class T, class Rows, size_t N>
void multiply(const GemmTable<T>& gemm, const Rows& a, const Stripe<T> (&b)[N], const Tiles<T> (&tiles)[N],
              T* scratch, const Stripe<T>* then = nullptr) {
  if (a.count > 1) return multiply_block<T>(gemm, a, b, tiles, scratch, then);
  for (size_t s = 0; s < N; ++s) {
    if (const auto product = small_m_product(gemm, b[s], a.rows_of(0))) {
      const Stripe<T>* const after = s + 1 < N ? &b[s + 1] : then;
      const T* const next = after == nullptr || after->m.packed != nullptr || after->m.stride != b[s].m.stride
                                ? nullptr
                                : first_value(gemm, *after);
      const int64_t lane = b[s].panel * gemm.cols,
                    lanes = std::min(b[s].panels * gemm.cols, b[s].m.lanes - lane);
      product(a.panels.data + a.first * a.panels.stride, first_value(gemm, b[s]), b[s].m.stride, lanes,
              ceil_div(b[s].m.k, gemm.group), a.rows_of(0), tiles[s], next);
      continue;
    }
    for (int64_t p = 0; p < b[s].panels; ++p) {
      const Tiles<T> one{tiles[s].at + p * gemm.rows * gemm.cols, gemm.cols, tiles[s].fresh};
      const Stripe<T>* const after = p + 1 < b[s].panels ? nullptr
                                     : s + 1 < N         ? &b[s + 1]
                                                         : then;  // null: the next panel follows in memory
      multiply_block<T>(gemm, a, {Stripe<T>{b[s].m, b[s].panel + p, 1}}, {one}, scratch, after);
    }
  }
}

/// Panels of columns that a task takes of each of `stripes` stripes: as many as the cache holds, but leaving
/// four tasks per worker. Never changes bits.
template <class T>
int64_t panels_per_task(const GemmTable<T>& gemm, int64_t k, int64_t stripes, int64_t panels, int64_t experts,
                        int workers) {
  const int64_t panel = block_units(gemm, k) * gemm.cols * gemm.group * static_cast<int64_t>(sizeof(T));
  const int64_t held = gemm.block_bytes / (std::max<int64_t>(panel, 1) * stripes),
                fair = panels * experts / (4 * workers);
  return std::clamp<int64_t>(std::min(held, fair), 1, kMostPanels);
}

}  // namespace gw::kernels
