#pragma once
// How the drivers cut their work: panels of rows, blocks of columns, scratch per worker. Portable code.
#include "gatewright/kernels/moe_ffn/blocks.h"

namespace gw::kernels {

/// The panels of rows of all experts, one after the other; a panel never spans two experts.
class RowPanels {
 public:
  RowPanels(const int64_t* offsets, int64_t experts, int64_t rows)
      : offsets_(offsets), rows_(rows), first_{0} {
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
  /// Experts with rows.
  std::vector<int64_t> busy() const {
    std::vector<int64_t> some;
    for (size_t e = 0; e + 1 < first_.size(); ++e) {
      if (first_[e + 1] > first_[e]) some.push_back(static_cast<int64_t>(e));
    }
    return some;
  }
  int64_t rows(int64_t panel) const {
    return std::min(rows_, offsets_[expert_[static_cast<size_t>(panel)] + 1] - begin(panel));
  }

 private:
  const int64_t* offsets_;
  int64_t rows_;
  std::vector<int64_t> first_, expert_;
};

/// Columns of one expert that one task computes.
struct Block {
  int64_t expert, panel, panels;
};

/// All blocks of `wide` panels of all experts that have rows, expert by expert: the threads share an expert's
/// rows in their caches.
inline std::vector<Block> blocks_of(const RowPanels& rows, int64_t experts, int64_t panels, int64_t wide) {
  std::vector<Block> result;
  for (int64_t e = 0; e < experts; ++e) {
    if (rows.panels_of(e) == 0) continue;
    for (int64_t p = 0; p < panels; p += wide) result.push_back({e, p, std::min(wide, panels - p)});
  }
  return result;
}

/// The block after `task` that the same worker is likely to take, for what is asked for early.
inline const Block& likely_next(const std::vector<Block>& blocks, int64_t task, const ThreadPool& pool) {
  return blocks[std::min(static_cast<size_t>(task + pool.workers()), blocks.size() - 1)];
}

/// body(block, what is likely read after it) for `wide` of `panels` panels of every expert with rows, in
/// order: the task-th stretch of columns of an outer product.
template <class Body>
void each_expert(const RowPanels& rows, int64_t panels, int64_t wide, int64_t task, const ThreadPool& pool,
                 const Body& body) {
  const auto busy = rows.busy();
  const int64_t panel = task * wide, count = std::min(wide, panels - panel),
                later = std::min(panel + wide * pool.workers(), panels - 1);
  for (size_t i = 0; i < busy.size(); ++i) {
    const bool last = i + 1 == busy.size();
    body(Block{busy[i], panel, count}, last ? Block{busy[0], later, 1} : Block{busy[i + 1], panel, count});
  }
}

/// Scratch of one worker: tiles of sums, a block of columns, single rows.
template <class T>
struct Scratch {
  using Sum = typename SumOf<T>::type;
  Sum *tiles = nullptr, *more_tiles = nullptr;
  T *columns = nullptr, *row = nullptr;
};

template <class T>
std::vector<Scratch<T>> take_scratch(Arena& arena, int workers, const GemmTable<T>& gemm, int64_t row_panels,
                                     int64_t panels, int64_t column_values) {
  using Sum = typename SumOf<T>::type;
  const int64_t tiles = row_panels * panels * gemm.rows * gemm.cols;
  std::vector<Scratch<T>> all;
  for (int w = 0; w < workers; ++w) {
    Scratch<T> s;
    s.tiles = static_cast<Sum*>(arena.take(2 * tiles * static_cast<int64_t>(sizeof(Sum))));
    s.more_tiles = s.tiles + tiles;
    s.columns = static_cast<T*>(arena.take(column_values * static_cast<int64_t>(sizeof(T))));
    s.row = static_cast<T*>(arena.take(gemm.rows * gemm.cols * static_cast<int64_t>(sizeof(T))));
    all.push_back(s);
  }
  return all;
}

template <class T>
T* take(Arena& arena, int64_t values) {
  return static_cast<T*>(arena.take(values * static_cast<int64_t>(sizeof(T))));
}

/// Every row of the tiles [count][panels][rows × cols] starts as the bias of its columns, or as zero: then
/// nothing is written, they are fresh.
template <class S, class T>
Tiles<T> start_tiles(const GemmTable<T>& gemm, const S* bias, int64_t lanes, int64_t panel0, int64_t panels,
                     int64_t count, S* tiles) {
  if (bias == nullptr) return {tiles, gemm.cols, true};
  const int64_t tile = gemm.rows * gemm.cols;
  for (int64_t i = 0; i < count * panels; ++i) {
    const int64_t column = (panel0 + i % panels) * gemm.cols, n = std::min(gemm.cols, lanes - column);
    for (int64_t r = 0; r < gemm.rows; ++r) {
      S* const row = tiles + i * tile + r * gemm.cols;
      std::fill(std::copy_n(bias + column, n, row), row + gemm.cols, S(0));
    }
  }
  return {tiles, gemm.cols, false};
}

}  // namespace gw::kernels
