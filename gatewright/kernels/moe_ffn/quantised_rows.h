#pragma once
// Rows in fixed point, as products with codes take them. Portable code.
#include <cstring>
#include <numeric>

#include "gatewright/kernels/moe_ffn/quantised_ffn.h"
#include "gatewright/kernels/moe_ffn/tasks.h"

namespace gw::kernels {

constexpr int64_t kRowChunk = 128;  // rows whose sums are kept while a panel of codes is read once
constexpr int64_t kMostWide = 8;    // panels of codes a task takes
constexpr int64_t kChunk =
    8;  // steps that several panels of rows share: 16 kB of codes stay in the first-level cache
constexpr int64_t kPrefetchBytes = 256;  // bytes asked for in a step: a line in each of its quarters
constexpr int64_t kPanelsPerTask = 8;    // of rows: a token's are not worth waking a thread
constexpr int64_t kManyRows = 256;       // below, a barrier more costs as much as it saves

inline int64_t bytes_for(const QuantisedWeight& w) { return w.bits == 4 ? kBytesForBits4 : kBytesForBits8; }

/// Steps per block of k: as many as divide the group; where one scale spans all, the most.
inline int64_t block_of(const QuantisedWeight& w, int64_t k) {
  int64_t steps = kMostBlock[bytes_for(w)];
  while (w.group < k && w.group % (steps * kQgemmStep) != 0) steps /= 2;
  return steps;
}

/// At most kChunk steps: some groups, or a part of one.
inline int64_t chunk_of(const QuantisedPanel& p) {
  if (p.group >= p.steps) return kChunk;
  return p.group <= kChunk ? kChunk / p.group * p.group : std::gcd(p.group, kChunk);
}

/// Rows in fixed point: a panel's data, scales and totals for all k.
class FixedRows {
 public:
  void take(Arena& arena, int64_t panels, int64_t k, const QuantisedWeight& w) {
    k_ = k, bytes_ = bytes_for(w), rows_ = kPanelBytes / bytes_, block_ = block_of(w, k),
    offset_ = 1 << (w.bits - 1);
    steps_ = ceil_div(k, kQgemmStep), blocks_ = ceil_div(steps_, block_);
    data_ = static_cast<uint8_t*>(arena.take(panels * steps_ * kRowStep));
    scales_ = gw::kernels::take<float>(arena, panels * blocks_ * rows_);
    totals_ = gw::kernels::take<int32_t>(arena, panels * blocks_ * rows_);
  }

  /// A panel from step `step` on, the first of a block.
  QuantisedRows of(int64_t panel, int64_t step) const {
    const int64_t at = (panel * blocks_ + step / block_) * rows_;
    return {bytes_, data_at(panel, step, 0), scales_ + at, totals_ + at};
  }

  template <class T>
  void fill(const QgemmTable& table, const FfnRowsTable<T>& rows, int64_t panel, int64_t row,
            const T* x) const {
    const int64_t wide = block_ * kQgemmStep;
    for (int64_t b = 0; b < blocks_; ++b) {
      int16_t q[kMostBlock[2] * kQgemmStep] = {};
      const int64_t first = b * wide, steps = std::min(block_, steps_ - b * block_);
      const int64_t at = (panel * blocks_ + b) * rows_ + row;
      int32_t total = 0;
      scales_[at] = rows.quantise_row(x + first, std::min(wide, k_ - first), kMostQ[bytes_], q, total);
      totals_[at] = offset_ * total;
      for (int64_t s = 0; s < steps; ++s)
        table.pack_row(q + s * kQgemmStep, bytes_, data_at(panel, b * block_ + s, row));
    }
  }

  /// A row of another's.
  void copy(int64_t panel, int64_t row, const FixedRows& from, int64_t from_panel, int64_t from_row) const {
    for (int64_t s = 0; s < steps_; ++s)
      std::memcpy(data_at(panel, s, row), from.data_at(from_panel, s, from_row),
                  static_cast<size_t>(bytes_ * kQgemmStep));
    for (int64_t b = 0; b < blocks_; ++b) {
      const int64_t at = (panel * blocks_ + b) * rows_ + row,
                    source = (from_panel * blocks_ + b) * rows_ + from_row;
      scales_[at] = from.scales_[source];
      totals_[at] = from.totals_[source];
    }
  }

 private:
  uint8_t* data_at(int64_t panel, int64_t step, int64_t row) const {
    return data_ + (panel * steps_ + step) * kRowStep + row * bytes_ * kQgemmStep;
  }

  int64_t k_ = 0, bytes_ = 0, rows_ = 0, block_ = 0, steps_ = 0, blocks_ = 0;
  int32_t offset_ = 0;
  uint8_t* data_ = nullptr;
  float* scales_ = nullptr;
  int32_t* totals_ = nullptr;
};

}  // namespace gw::kernels
