#pragma once
// Rows in fixed point, block by block of 32 k, and their products with panels. Portable code.
#include <algorithm>

#include "gatewright/kernels/moe_ffn/block_ffn.h"
#include "gatewright/kernels/moe_ffn/tasks.h"

namespace gw::kernels {

inline constexpr int64_t kBlockRowChunk = 128;  // rows whose sums are kept while a panel is read once
/// Units that many rows share while they are in the first-level cache: 10 kB of codes of 4 bits.
inline constexpr int64_t kSharedUnits = 16;

/// Rows in fixed point for all k.
class BlockRows {
 public:
  void take(Arena& arena, int64_t rows, int64_t k, const BlockForm& form) {
    k_ = k, bytes_ = form.row_bytes(), group_ = form.group;
    q_ = gw::kernels::take<uint8_t>(arena, rows * k * bytes_);
    scales_ = gw::kernels::take<float>(arena, rows * k / kBlockK);
    totals_ = gw::kernels::take<int32_t>(arena, rows * k / group_);
  }
  bool taken() const { return q_ != nullptr; }
  BlockRow of(int64_t row) const {
    return {q_ + row * k_ * bytes_, scales_ + row * (k_ / kBlockK), totals_ + row * (k_ / group_)};
  }
  template <class T>
  void fill(const BlockGemmTable& table, const FfnRowsTable<T>& rows, int64_t row, const T* x) const {
    const int64_t groups = kBlockK / group_;
    for (int64_t b = 0; b < k_ / kBlockK; ++b) {
      int16_t q[kBlockK];
      int32_t total = 0;
      scales_[row * (k_ / kBlockK) + b] =
          rows.quantise_row(x + b * kBlockK, kBlockK, kBlockMost[bytes_ - 1], q, total);
      int32_t* const totals = totals_ + (row * (k_ / kBlockK) + b) * groups;
      totals[0] = total;
      for (int64_t g = 1; g < groups; ++g) {
        totals[g] = 0;
        for (int64_t i = 0; i < group_; ++i) totals[g] += q[g * group_ + i];
        totals[0] -= totals[g];
      }
      table.pack_row(q, bytes_, q_ + (row * k_ + b * kBlockK) * bytes_);
    }
  }

 private:
  int64_t k_ = 0, bytes_ = 1, group_ = kBlockK;
  uint8_t* q_ = nullptr;
  float* scales_ = nullptr;
  int32_t* totals_ = nullptr;
};

/// sums[r] [kBlockLanes] = bias + row r · panel `panel` of an expert, r < m ≤ kBlockRowChunk.
inline void multiply_block(const BlockGemmTable& table, const BlockWeight& w, int64_t expert, int64_t panel,
                           int64_t lanes, int64_t k, const BlockRow* rows, int64_t m, float* sums) {
  std::fill_n(sums, m * kBlockLanes, 0.0f);
  const int64_t lane = panel * kBlockLanes;
  for (int64_t r = 0; w.bias != nullptr && r < m; ++r)
    std::copy_n(w.bias + expert * lanes + lane, std::min(kBlockLanes, lanes - lane), sums + r * kBlockLanes);
  const uint8_t* own = w.panels + (expert * ceil_div(lanes, kBlockLanes) + panel) * panel_bytes(w.form, k);
  const int64_t units = k / kBlockK, each = m > 6 ? kSharedUnits : units;
  for (int64_t first = 0; first < units; first += each)
    table.tile(w.form, own + first * w.form.unit_bytes(), first, std::min(each, units - first), rows, m,
               sums);
}

}  // namespace gw::kernels
