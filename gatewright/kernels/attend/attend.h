#pragma once
// Attention of some queries over the keys and values that they share.
// Math:   y_r = Σ_j p_rj v_j, p_r = softmax over the keys j that row r sees of ⟨q_r, k_j⟩, and a score
//         without a value where it has a sink.
// Bits:   a row's depend on its query, its keys, its values and its sink alone, and are the same at every
//         level: ⟨q, k⟩ goes up its values one by one and Σ p·v up the keys, by fused steps from zero; Σ p is
//         of 16 sums, place mod 16 among the keys that the row sees to the same sum, then added by halves.
//         The other rows of a tile give a row zeros, which change no sum.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

#include "gatewright/kernels/grouped_gemm/grouped_gemm.h"

namespace gw::kernels {

/// Keys that a level may take together; scores lie at multiples of it.
inline constexpr int64_t kAttendPad = 64;
constexpr int64_t padded_keys(int64_t keys) { return (keys + kAttendPad - 1) / kAttendPad * kAttendPad; }

/// Rows that share keys: q [rows, width], scaled already; key j at k + j·k_stride, its value at v +
/// j·v_stride. Row r sees the keys first[r] ≤ j < last[r], at least one; all of them lie in [from, from +
/// keys), `from` a multiple of kAttendPad. `turned`: all keys as turn_f32() leaves them; null: the tile turns
/// its own. y [rows, value_width]. Scratch: scores [rows, padded_keys(keys)], panel [width, kAttendPad] and
/// factors [rows].
template <class T>
struct AttendTile {
  int64_t rows = 0, width = 0, value_width = 0;
  const float* q = nullptr;
  const T *k = nullptr, *v = nullptr;
  int64_t k_stride = 0, v_stride = 0;
  const int64_t *first = nullptr, *last = nullptr;
  const float *sink = nullptr, *turned = nullptr;  ///< sink: [rows] or null
  int64_t from = 0, keys = 0;
  float *scores = nullptr, *panel = nullptr, *factors = nullptr, *y = nullptr;
};

/// One level. Cost: 2·rows·keys·(width + value_width) flop; keys and values are read once for all rows.
struct AttendTable {
  void (*f32)(const AttendTile<float>& tile);
  void (*bf16)(const AttendTile<Bf16>& tile);
  /// Keys [count, width], `stride` apart, in the order that tiles read them in: `to` has room for
  /// padded_keys(count)·width values. Worth it where several tiles see the same keys. Keys from a multiple of
  /// kAttendPad on go to that many times `width` values further.
  void (*turn_f32)(const float* k, int64_t stride, int64_t count, int64_t width, float* to);
  void (*turn_bf16)(const Bf16* k, int64_t stride, int64_t count, int64_t width, float* to);
};

extern const AttendTable attend_ref, attend_avx2, attend_avx512, attend_neon;

}  // namespace gw::kernels
