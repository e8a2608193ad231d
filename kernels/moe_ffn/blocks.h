#pragma once
// Products of packed rows with columns that are packed on the way: shared by the forward and backward drivers. Portable code.
#include <algorithm>
#include <vector>

#include "kernels/moe_ffn/lines.h"
#include "kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels {

/// Bytes of packed columns that a task keeps in the second-level cache while rows pass by.
constexpr int64_t kBlockBytes = 512 << 10;
/// Bytes of k per lane that a block holds: 512 k of f32. E = 8, D = 1024, H = 3584, one core of a Sapphire Rapids class machine: 256 k → 154,
/// 512 → 156, 1024 → 152, 2048 → 145 GFLOP/s; a megabyte instead of half of one in kBlockBytes: 153.
constexpr int64_t kBlockDepth = 2048;
constexpr int64_t kMostPanels = 16;
/// Panels of rows whose tiles are summed together: 40 panels of 14 rows amortise a block's packing over 560 rows.
constexpr int64_t kRowPanels = 40;

/// Units of a panel of columns that are packed at a time.
template <class T>
int64_t block_units(const GemmTable<T>& gemm, int64_t k) {
  return std::clamp<int64_t>(ceil_div(k, gemm.group), 1, kBlockDepth / (gemm.group * static_cast<int64_t>(sizeof(T))));
}

/// A matrix as lanes × k. k_contiguous: element (lane, k) at data[lane·stride + k]; else at data[index(k)·stride + lane].
template <class T>
struct Columns {
  const T* data = nullptr;
  int64_t stride = 0, lanes = 0, k = 0;
  bool k_contiguous = true;
  const int64_t* index = nullptr;  ///< of the strided dimension; null: itself
  const T* packed = nullptr;       ///< all panels of all k, or null

  const T* at(int64_t strided) const { return data + (index == nullptr ? strided : index[strided]) * stride; }
};

/// One panel of `width` lanes from lane0, k from k0.
template <class T>
void pack_panel(const GemmTable<T>& gemm, const Columns<T>& m, int64_t lane0, int64_t width, int64_t k0, int64_t k, T* panel) {
  constexpr int64_t kMost = 1024;
  const T* pointers[kMost];
  const int64_t count = std::min(width, m.lanes - lane0);
  if (m.k_contiguous) {
    for (int64_t i = 0; i < count; ++i) pointers[i] = m.at(lane0 + i) + k0;
    gemm.pack_k(pointers, count, width, k, panel);
    return;
  }
  for (int64_t done = 0; done < k; done += kMost) {  // kMost is a multiple of every group
    const int64_t steps = std::min(kMost, k - done);
    for (int64_t j = 0; j < steps; ++j) pointers[j] = m.at(k0 + done + j) + lane0;
    gemm.pack_lanes(pointers, steps, count, width, panel + done * width);
  }
}

/// Panels of rows [0, lanes), each over all k: what tiles read as A.
template <class T>
struct Panels {
  T* data = nullptr;
  int64_t stride = 0;  ///< values of T per panel
};

/// The columns that a product takes: panels [panel, panel + panels) of `m`.
template <class T>
struct Stripe {
  Columns<T> m;
  int64_t panel = 0, panels = 0;
};

/// Where the packed panels of a stripe begin, or null.
template <class T>
const T* first_packed(const GemmTable<T>& gemm, const Stripe<T>& b) {
  return b.m.packed == nullptr ? nullptr : b.m.packed + b.panel * ceil_div(b.m.k, gemm.group) * gemm.cols * gemm.group;
}

/// What stripe b's block from unit u on will read.
template <class T>
void add_block(Lines& lines, const GemmTable<T>& gemm, const Stripe<T>& b, int64_t u, int64_t part, int64_t parts) {
  const int64_t units = ceil_div(b.m.k, gemm.group), n = std::min(block_units(gemm, b.m.k), units - u), unit = gemm.cols * gemm.group;
  const int64_t k0 = u * gemm.group, k = std::min(n * gemm.group, b.m.k - k0), size = static_cast<int64_t>(sizeof(T));
  const int64_t lane0 = b.panel * gemm.cols, lanes_left = std::min(b.panels * gemm.cols, b.m.lanes - lane0);
  if (b.m.packed != nullptr) {
    lines.add(b.panels, n * unit * size, part, parts, [&](int64_t p) { return b.m.packed + ((b.panel + p) * units + u) * unit; });
  } else if (b.m.k_contiguous) {
    lines.add(lanes_left, k * size, part, parts, [&](int64_t lane) { return b.m.at(lane0 + lane) + k0; });
  } else {
    lines.add(k, lanes_left * size, part, parts, [&](int64_t j) { return b.m.at(k0 + j) + lane0; });
  }
}

/// Rows of one expert that a product takes: panels [first, first + count); rows_of(i) rows of panel first + i are real.
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
  for (int64_t p = 0; p < b.panels; ++p) pack_panel(gemm, b.m, (b.panel + p) * gemm.cols, gemm.cols, u * gemm.group, k, scratch + p * n * unit);
  return {scratch, n * unit};
}

/// Tiles one after the other, each of rows × cols sums.
template <class T>
using Tiles = Sums<typename SumOf<T>::type>;

/// tiles[s][i][p] = (what it holds, or 0 when fresh) + row panel i · column panel p of stripe s, through all k; all stripes have the same k. What comes next (the next block of k, then
/// the first of `then`) is asked for while this is computed: a block of weights that comes from memory takes as long as a quarter of its
/// arithmetic at 128 rows per expert.
template <class T, class Rows, size_t N>
void multiply_block(const GemmTable<T>& gemm, const Rows& a, const Stripe<T> (&b)[N], const Tiles<T> (&tiles)[N], T* scratch, const Stripe<T>* then) {
  const int64_t units = ceil_div(b[0].m.k, gemm.group), unit_a = gemm.rows * gemm.group, panels = b[0].panels, tile = gemm.rows * gemm.cols;
  int64_t deep = block_units(gemm, b[0].m.k);
  if (a.count == 1 && b[0].m.packed != nullptr) deep = std::max<int64_t>(units, 1);
  for (int64_t u = 0; u < units; u += deep) {
    const int64_t n = std::min(deep, units - u);
    const bool last = u + n == units;
    PackedBlock<T> block[N];
    for (size_t s = 0; s < N; ++s) block[s] = packed_block(gemm, b[s], u, n, scratch + static_cast<int64_t>(s) * panels * n * gemm.cols * gemm.group);
    for (int64_t i = 0; i < a.count; ++i) {
      const T* rows = a.panels.data + (a.first + i) * a.panels.stride + u * unit_a;
      for (int64_t p = 0; p < panels; ++p) {
        for (size_t s = 0; s < N; ++s) {
          const int64_t part = static_cast<int64_t>(s) + static_cast<int64_t>(N) * p, parts = static_cast<int64_t>(N) * panels;
          const bool from_memory = a.count == 1 && b[s].m.packed != nullptr;
          Lines lines(from_memory, from_memory && then != nullptr ? first_packed(gemm, *then) : nullptr);
          if (i + 1 < a.count) lines.add(1, n * unit_a * static_cast<int64_t>(sizeof(T)), part, parts, [&](int64_t) { return rows + a.panels.stride; });
          if (!last) add_block(lines, gemm, b[s], u + n, i * panels + p, a.count * panels);
          if (last && then != nullptr && !from_memory) add_block(lines, gemm, *then, 0, i * parts + part, a.count * parts);
          const Tiles<T> sums{tiles[s].at + (i * panels + p) * tile, gemm.cols, tiles[s].fresh && u == 0};
          gemm.tile(rows, block[s].data + p * block[s].step, n, a.rows_of(i), sums, lines.ahead());
        }
      }
    }
  }
}

/// The product that reads a stripe as it lies, or null: too many rows, packed already, or odd sizes.
template <class T>
auto few_product(const GemmTable<T>& gemm, const Stripe<T>& b, int64_t rows) -> decltype(gemm.few.k) {
  const bool fits = rows <= gemm.few.rows && b.m.packed == nullptr && b.m.index == nullptr && b.m.k % gemm.few.deep == 0 && b.m.lanes % gemm.few.lanes == 0;
  return !fits ? nullptr : b.m.k_contiguous ? gemm.few.k : gemm.few.lanes_at;
}

template <class T>
const T* first_value(const GemmTable<T>& gemm, const Stripe<T>& b) {
  const int64_t lane = b.panel * gemm.cols;
  return b.m.k_contiguous ? b.m.at(lane) : b.m.at(0) + lane;
}

/// The same for whole stripes. A single panel of rows uses its weights once: they are then read from end to end, as memory likes it: stripe by stripe,
/// and within one the panels in the order in which they lie.
template <class T, class Rows, size_t N>
void multiply(const GemmTable<T>& gemm, const Rows& a, const Stripe<T> (&b)[N], const Tiles<T> (&tiles)[N], T* scratch, const Stripe<T>* then = nullptr) {
  if (a.count > 1) return multiply_block<T>(gemm, a, b, tiles, scratch, then);
  for (size_t s = 0; s < N; ++s) {
    if (const auto product = few_product(gemm, b[s], a.rows_of(0))) {
      const Stripe<T>* const after = s + 1 < N ? &b[s + 1] : then;
      const T* const next = after == nullptr || after->m.packed != nullptr || after->m.stride != b[s].m.stride ? nullptr : first_value(gemm, *after);
      const int64_t lane = b[s].panel * gemm.cols, lanes = std::min(b[s].panels * gemm.cols, b[s].m.lanes - lane);
      product(a.panels.data + a.first * a.panels.stride, first_value(gemm, b[s]), b[s].m.stride, lanes, ceil_div(b[s].m.k, gemm.group), a.rows_of(0), tiles[s], next);
      continue;
    }
    for (int64_t p = 0; p < b[s].panels; ++p) {
      const Tiles<T> one{tiles[s].at + p * gemm.rows * gemm.cols, gemm.cols, tiles[s].fresh};
      const Stripe<T>* const after = p + 1 < b[s].panels ? nullptr : s + 1 < N ? &b[s + 1] : then;  // null: the next panel follows in memory
      multiply_block<T>(gemm, a, {Stripe<T>{b[s].m, b[s].panel + p, 1}}, {one}, scratch, after);
    }
  }
}

/// Panels of columns that a task takes of each of `stripes` stripes: as many as the cache holds, but leaving four tasks per worker. Never changes bits.
template <class T>
int64_t panels_per_task(const GemmTable<T>& gemm, int64_t k, int64_t stripes, int64_t panels, int64_t experts, int workers) {
  const int64_t panel = block_units(gemm, k) * gemm.cols * gemm.group * static_cast<int64_t>(sizeof(T));
  const int64_t held = kBlockBytes / (std::max<int64_t>(panel, 1) * stripes), fair = panels * experts / (4 * workers);
  return std::clamp<int64_t>(std::min(held, fair), 1, kMostPanels);
}

}  // namespace gw::kernels
