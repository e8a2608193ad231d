#pragma once
// Products of rows in fixed point with weights of 8 or 4 bits, in integer arithmetic.
// Math:   a row is cut into blocks of k; in a block x ≈ q·s with q of 16 bits and s = max|x| / 32767. Σ q·code is exact in 32 bits (at most 128 terms
//         of 32767·127), so every level and every cut gives the same bits; then sum ← fma(float(Σ)·s, scale, sum), block after block.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

inline constexpr int64_t kCodeLanes = 32;  ///< outputs in a panel of codes
inline constexpr int64_t kCodeStep = 64;   ///< k that are stored together
inline constexpr int64_t kCodeRows = 16;   ///< rows in a panel of rows
inline constexpr int64_t kCodeBytes = kCodeStep * kCodeLanes;    ///< of a step of a panel with 8 bits
inline constexpr int64_t kRowBytes = 2 * kCodeStep;              ///< of a step of one row

/// Rows as the level lays them out: data [steps][kCodeRows][kRowBytes], scales [blocks][kCodeRows].
struct CodeRows {
  const uint8_t* data;
  const float* scales;
};

/// One panel: codes [steps][16][2 halves][16 lanes][4 k]; of 4 bits, half 0 in the low and half 1 in the high halves of 64 bytes, plus 8.
/// scales [groups][kCodeLanes]. `block` and `group` count steps; a block lies within a group.
struct CodePanel {
  const uint8_t* codes;
  const float* scales;
  int64_t bits, steps, block, group;
  bool from_memory;  ///< codes come from memory, one panel after the other: ask for them early
};

/// One level.
struct CodeTable {
  /// One step of one row.
  void (*lay)(const int16_t* q, uint8_t* to);
  /// sums[r][lane] (rows of kCodeLanes) += the product of row r < m with the panel.
  /// Cost: 2·m·k·lanes operations, twice (high and low halves of q) where products are of bytes.
  void (*tile)(const CodeRows& rows, const CodePanel& panel, int64_t m, float* sums);
  /// 8-bit codes [steps][kCodeBytes] from those of 4 bits.
  void (*expand)(const uint8_t* from, int64_t steps, uint8_t* to);
};

extern const CodeTable codes_ref, codes_avx2, codes_avx512_vnni, codes_amx;

}  // namespace gw::kernels
