#pragma once
// Products of packed rows with columns that are packed on the way: shared by the forward and backward drivers. Portable code.
#include <algorithm>
#include <vector>

#include "kernels/moe_ffn/moe_ffn.h"

namespace gw::kernels {

/// Units of k that a block of columns holds at a time: 512 units of 32 columns are 64 kB, eight panels 512 kB: half of a second-level cache.
constexpr int64_t kBlockUnits = 512;
/// Panels of rows whose tiles are summed together: 40 panels of 14 rows amortise a block's packing over 560 rows.
constexpr int64_t kRowPanels = 40;

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

/// tiles[i][p] += rows(first + i)·columns(panel0 + p) for i < count, p < panels, through all k. `rows_of(i)` rows of panel i are real.
template <class T, class RowsOf>
void multiply(const GemmTable<T>& gemm, const Panels<T>& a, int64_t first, int64_t count, const RowsOf& rows_of, const Columns<T>& b, int64_t panel0,
              int64_t panels, typename SumOf<T>::type* tiles, T* scratch) {
  const int64_t units = ceil_div(b.k, gemm.group), unit_a = gemm.rows * gemm.group, unit_b = gemm.cols * gemm.group;
  for (int64_t u = 0; u < units; u += kBlockUnits) {
    const int64_t n = std::min(kBlockUnits, units - u);
    const T* block = b.packed == nullptr ? scratch : b.packed + (panel0 * units + u) * unit_b;
    const int64_t step = (b.packed == nullptr ? n : units) * unit_b;
    if (b.packed == nullptr) {
      const int64_t k = std::min(n * gemm.group, b.k - u * gemm.group);
      for (int64_t p = 0; p < panels; ++p) pack_panel(gemm, b, (panel0 + p) * gemm.cols, gemm.cols, u * gemm.group, k, scratch + p * step);
    }
    for (int64_t i = 0; i < count; ++i) {
      const T* rows = a.data + (first + i) * a.stride + u * unit_a;
      for (int64_t p = 0; p < panels; ++p) gemm.tile(rows, block + p * step, n, rows_of(i), tiles + (i * panels + p) * gemm.rows * gemm.cols);
    }
  }
}

/// The panels of rows of all experts, one after the other; a panel never spans two experts.
class RowPanels {
 public:
  RowPanels(const int64_t* offsets, int64_t experts, int64_t rows) : offsets_(offsets), rows_(rows), first_{0} {
    for (int64_t e = 0; e < experts; ++e) {
      first_.push_back(first_.back() + ceil_div(offsets[e + 1] - offsets[e], rows));
      for (int64_t i = first_[static_cast<size_t>(e)]; i < first_.back(); ++i) expert_.push_back(e);
    }
  }
  int64_t total() const { return first_.back(); }
  int64_t first_of(int64_t expert) const { return first_[static_cast<size_t>(expert)]; }
  int64_t panels_of(int64_t expert) const { return first_of(expert + 1) - first_of(expert); }
  int64_t begin(int64_t panel) const {
    const int64_t e = expert_[static_cast<size_t>(panel)];
    return offsets_[e] + (panel - first_of(e)) * rows_;
  }
  int64_t rows(int64_t panel) const { return std::min(rows_, offsets_[expert_[static_cast<size_t>(panel)] + 1] - begin(panel)); }

 private:
  const int64_t* offsets_;
  int64_t rows_;
  std::vector<int64_t> first_, expert_;
};

/// Columns of one expert that one task computes.
struct Block {
  int64_t expert, panel, panels;
};

/// All blocks of `wide` panels of all experts that have rows, expert by expert: the threads share an expert's rows in their caches.
inline std::vector<Block> blocks_of(const RowPanels& rows, int64_t experts, int64_t panels, int64_t wide) {
  std::vector<Block> result;
  for (int64_t e = 0; e < experts; ++e) {
    if (rows.panels_of(e) == 0) continue;
    for (int64_t p = 0; p < panels; p += wide) result.push_back({e, p, std::min(wide, panels - p)});
  }
  return result;
}

/// How many panels a task takes: few enough for four tasks per worker, at most `most`. Speed only, never bits.
inline int64_t panels_per_task(int64_t panels, int64_t experts, int workers, int64_t most) {
  return std::clamp<int64_t>(panels * experts / (4 * workers), 1, std::min(most, std::max<int64_t>(panels, 1)));
}

/// Scratch of one worker: tiles of sums, a block of columns, single rows.
template <class T>
struct Scratch {
  using Sum = typename SumOf<T>::type;
  Sum *tiles = nullptr, *more_tiles = nullptr;
  T *columns = nullptr, *row = nullptr;
};

template <class T>
std::vector<Scratch<T>> take_scratch(Memory& memory, int workers, const GemmTable<T>& gemm, int64_t row_panels, int64_t panels, int64_t column_values) {
  using Sum = typename SumOf<T>::type;
  const int64_t tiles = row_panels * panels * gemm.rows * gemm.cols;
  std::vector<Scratch<T>> all;
  for (int w = 0; w < workers; ++w) {
    Scratch<T> s;
    s.tiles = static_cast<Sum*>(memory.take(2 * tiles * static_cast<int64_t>(sizeof(Sum))));
    s.more_tiles = s.tiles + tiles;
    s.columns = static_cast<T*>(memory.take(column_values * static_cast<int64_t>(sizeof(T))));
    s.row = static_cast<T*>(memory.take(gemm.rows * gemm.cols * static_cast<int64_t>(sizeof(T))));
    all.push_back(s);
  }
  return all;
}

template <class T>
T* take(Memory& memory, int64_t values) {
  return static_cast<T*>(memory.take(values * static_cast<int64_t>(sizeof(T))));
}

/// Every row of the tiles [count][panels][rows × cols] starts as the bias of its columns, or zero.
template <class S, class T>
void start_tiles(const GemmTable<T>& gemm, const S* bias, int64_t lanes, int64_t panel0, int64_t panels, int64_t count, S* tiles) {
  const int64_t tile = gemm.rows * gemm.cols;
  std::fill_n(tiles, count * panels * tile, S(0));
  if (bias == nullptr) return;
  for (int64_t i = 0; i < count * panels; ++i) {
    const int64_t column = (panel0 + i % panels) * gemm.cols, n = std::min(gemm.cols, lanes - column);
    for (int64_t r = 0; r < gemm.rows; ++r) std::copy_n(bias + column, n, tiles + i * tile + r * gemm.cols);
  }
}

}  // namespace gw::kernels
