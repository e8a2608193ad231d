#pragma once
// Matrix products over packed panels: what every product of a mixture (forward, data gradient, weight
// gradient) is made of.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

/// bfloat16 as it lies in memory: the upper half of an f32.
struct Bf16 {
  uint16_t bits;
};

/// The type in which products of T are summed.
template <class T>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};

/// Cache lines that later work will read. A tile asks for them (into the second-level cache) while it
/// computes, one every other unit of k: asked for in a burst they fill the line buffers and stop the loads of
/// the tile itself. `columns`: the tile's own columns come from memory, one after the other: it asks for
/// these, some kB early, and for nothing else; behind the last lies `next` (where it does not follow anyway:
/// a stripe that starts cold loses a microsecond).
struct PrefetchHints {
  const void* const* line = nullptr;
  int64_t lines = 0;
  bool columns = false;
  const void* next = nullptr;
};

/// Where a tile's sums are: row i at `at` + i·stride. `fresh`: they start at zero, and what is there is not
/// read; else they go on from it. `non_temporal`: a level may write them past the caches (`at` and stride are
/// then multiples of 64 bytes); FfnRowsTable::store_fence() makes them visible.
template <class S>
struct Sums {
  S* at = nullptr;
  int64_t stride = 0;
  bool fresh = false, non_temporal = false;
};

/// Products of few rows with a matrix that is used once and read as it lies: packing would cost more than the
/// product. The same bits as tiles of packed columns. c: the tiles of the lanes, one after the other, each
/// rows × cols as GemmTable::tile writes it; `next`: what is likely read after it (with the same stride), or
/// null.
template <class T>
struct SmallM {
  int64_t rows = 0;                           ///< most rows; 0: the level has no such products
  int64_t lane_multiple = 1, k_multiple = 1;  ///< what lanes and k must be multiples of
  /// c[m × lanes] = (c or 0) + a·bᵀ with a panel of A and b [lanes][k], rows `stride` values apart. Cost: one
  /// reading of b.
  void (*k)(const T* a, const T* b, int64_t stride, int64_t lanes, int64_t units, int64_t m,
            Sums<typename SumOf<T>::type> c, const T* next) = nullptr;
  /// The same with b [k][lanes].
  void (*lanes_at)(const T* a, const T* b, int64_t stride, int64_t lanes, int64_t units, int64_t m,
                   Sums<typename SumOf<T>::type> c, const T* next) = nullptr;
};

/// One level. A panel holds `lanes` rows (of A) or columns (of B) for a stretch of the inner dimension k:
///   [units][lanes][group], a unit being `group` consecutive k: what one instruction multiplies and adds (1;
///   2 for bf16; 32 for the matrix unit, which orders the inside of a unit as it likes, for A and B
///   differently: panels are told apart by their width).
/// Lanes and k beyond the matrix are zero, so that only the last rows of a tile need care.
/// Sums go up k one by one (by pairs in bf16) and may go on from earlier sums: cutting k, rows or columns
/// anywhere gives the same bits.
template <class T>
struct GemmTable {
  using Sum = typename SumOf<T>::type;
  int64_t rows, cols, group;  ///< lanes of a panel of A, of B; k per unit

  /// Packs lanes whose k are contiguous: lane i is at lane[i][0 … k). Lanes `count` … `width` become zero.
  /// Cost: reads and writes sizeof(T)·count·k bytes.
  void (*pack_k)(const T* const* lane, int64_t count, int64_t width, int64_t k, T* panel);
  /// Packs lanes that are contiguous at each k: step j is at step[j][0 … count).
  void (*pack_lanes)(const T* const* step, int64_t k, int64_t count, int64_t width, T* panel);
  /// c[m × cols] = (c or 0) + a[m × k]·b[k × cols] with m ≤ rows; all `cols` values of a row are written.
  /// Cost: 2·m·cols·group·units flop; reads (rows + cols)·4·units bytes of panels.
  void (*tile)(const T* a, const T* b, int64_t units, int64_t m, Sums<Sum> c, PrefetchHints hints);
  SmallM<T> small_m = {};
  /// Two panels of rows, all rows of `a` and m of `below`, by the same columns, each of which is loaded once
  /// for both: c and `under` as tile() makes them, with the same stride, both fresh or neither. Null: the
  /// level's tiles need the columns no less often. `ahead` without columns.
  void (*pair)(const T* a, const T* below, const T* b, int64_t units, int64_t m, Sums<Sum> c, Sums<Sum> under,
               PrefetchHints hints) = nullptr;
  /// Bytes of packed columns that a task keeps in the second-level cache, and of these bytes of k per lane in
  /// one block.
  int64_t block_bytes = 512 << 10, block_depth = 2048;
};

extern const GemmTable<double> gemm_ref_f64;
extern const GemmTable<float> gemm_ref, gemm_avx2, gemm_avx512;
extern const GemmTable<Bf16> gemm_ref_bf16, gemm_avx2_bf16, gemm_avx512_widened_bf16, gemm_avx512_bf16,
    gemm_amx_bf16;
extern const GemmTable<float> gemm_neon;
extern const GemmTable<Bf16> gemm_neon_widened_bf16, gemm_neon_bf16;

// static: see bucket_norm.h
static constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace gw::kernels
