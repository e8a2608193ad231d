#pragma once
// Products of rows in fixed point with weights in the blocks of a file, in integer arithmetic.
// Math:   32 neighbouring weights of an output share a scale and perhaps a minimum, both f16 (or 16 of them
//         do): w = (u - offset)·scale + minimum, u a code of 4 or 8 bits without sign. A row is cut into
//         blocks of 32 k; in a block x ≈ q·s with |q| ≤ most and s = max|x| / most, most = 127 beside codes
//         of 4 bits and 32639 beside codes of 8. Σ q·(u - offset) is exact in 32 bits; then, group by group,
//         sum ← fma(float(Σ)·s, scale, sum) and sum ← fma(float(Σ q)·s, minimum, sum): every level and every
//         cut of the work gives the same bits.
// Source: the block formats of GGUF files (llama.cpp), whose scales and codes are kept as they are.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

inline constexpr int64_t kBlockLanes = 32;  ///< outputs in a panel
inline constexpr int64_t kBlockK = 32;      ///< k that are stored together, and share a scale of a row
inline constexpr float kBlockMost[2] = {127, 32639};  ///< of |q|, in one byte and in two

/// How weights are coded.
struct BlockForm {
  int64_t bits = 8;    ///< of a code: 4 or 8
  int64_t group = 32;  ///< k that share a scale: 32, or 16 with 8 bits
  bool minimum = false;
  int32_t offset = 0;                                      ///< 0 where there are minima
  int64_t row_bytes() const { return bits == 4 ? 1 : 2; }  ///< of a q
  /// Of the codes of a unit: 32 outputs by 32 k.
  int64_t code_bytes() const { return kBlockLanes * kBlockK * bits / 8; }
  /// Of a unit with its scales and minima.
  int64_t unit_bytes() const { return code_bytes() + kBlockK / group * kBlockLanes * 2 * (minimum ? 2 : 1); }
};

/// A row in fixed point: k values as pack_row() lays them out, s of each block, Σ q of each group.
struct BlockRow {
  const uint8_t* q = nullptr;
  const float* scales = nullptr;
  const int32_t* totals = nullptr;
};

/// One level. A panel is its units of 32 k one after the other; a unit: codes [8][32 lanes][4 k] (of 4 bits,
/// lanes 0 … 15 in the low and 16 … 31 in the high halves of [8][16 lanes][4 k]), scales [32 / group][32]
/// f16, minima likewise.
struct BlockGemmTable {
  /// kBlockK values of one row; `bytes` 1 or 2.
  void (*pack_row)(const int16_t* q, int64_t bytes, uint8_t* to);
  /// sums[r][lane] += the products of rows r < m with `count` units from `panel` on, which are the rows' from
  /// block `first` on. Cost: 2·m·32·32 operations a unit.
  void (*tile)(const BlockForm& form, const uint8_t* panel, int64_t first, int64_t count,
               const BlockRow* rows, int64_t m, float* sums);
};

extern const BlockGemmTable block_gemm_ref, block_gemm_avx2;

}  // namespace gw::kernels
