#pragma once
// Cache lines for a tile to ask for. Portable code.
#include <algorithm>

#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

namespace gw::kernels {

constexpr int64_t kLine = 64;

/// Lines for a tile to ask for.
class Lines {
 public:
  /// `columns`, `next`: see PrefetchHints.
  explicit Lines(bool columns, const void* next = nullptr) : columns_(columns), next_(next) {}

  /// Part `part` of `parts` of a region of `rows` rows of `bytes` bytes, `address(row)` their beginnings.
  template <class Address>
  void add(int64_t rows, int64_t bytes, int64_t part, int64_t parts, const Address& address) {
    const int64_t per_row = ceil_div(bytes, kLine), all = rows * per_row;
    for (int64_t i = all * part / parts, end = all * (part + 1) / parts; i < end && count_ < kMost;) {
      const int64_t row = i / per_row, stop = std::min({end, (row + 1) * per_row, i + kMost - count_});
      const char* base = reinterpret_cast<const char*>(address(row)) - row * per_row * kLine;
      for (; i < stop; ++i) line_[count_++] = base + i * kLine;
    }
  }
  PrefetchHints hints() const { return {line_, count_, columns_, next_}; }

 private:
  static constexpr int64_t kMost =
      512;  // 256 for a tile of a whole block, one every other unit; as many for each tile of a pair
  const void* line_[kMost];
  int64_t count_ = 0;
  bool columns_;
  const void* next_;
};

}  // namespace gw::kernels
