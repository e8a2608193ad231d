#pragma once
// Products of rows in fixed point with weights of 8 or 4 bits, in integer arithmetic.
// Math:   a row is cut into blocks of k; in a block x ≈ q·s with |q| ≤ 32639 and s = max|x| / 32639. Σ q·code is exact in 32 bits (at most 512 terms of
//         32639·127), so every level and every cut gives the same bits; then sum ← fma(float(Σ)·s, scale, sum), block after block.
//         Codes are stored without sign, u = code + offset (128 or 8), and q = 256·high + low in signed bytes: instructions multiply bytes without sign
//         by bytes with one. Σ q·code = 256·Σ high·u + Σ low·u - offset·Σ q; steps of that may wrap, their sum does not.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

inline constexpr int64_t kCodeLanes = 32;  ///< outputs in a panel of codes
inline constexpr int64_t kCodeStep = 64;   ///< k that are stored together
inline constexpr int64_t kCodeRows = 16;   ///< rows in a panel of rows
inline constexpr int64_t kCodeBytes = kCodeStep * kCodeLanes;    ///< of a step of a panel with 8 bits
inline constexpr int64_t kRowBytes = 2 * kCodeStep;              ///< of a step of one row
inline constexpr int64_t kMostBlock = 8;    ///< steps of a block: 512·127·32639 < 2^31
inline constexpr float kMostQ = 32639;      ///< 127·256 + 127: both bytes have a sign and fit

/// Rows as the level lays them out: data [steps][kCodeRows][kRowBytes], scales and totals (offset·Σ q) [blocks][kCodeRows].
struct CodeRows {
  const uint8_t* data;
  const float* scales;
  const int32_t* totals;
};

/// One panel: codes [steps][16][2 halves][16 lanes][4 k], plus offset; of 4 bits, half 0 in the low and half 1 in the high halves of 64 bytes.
/// scales [groups][kCodeLanes]. `block` and `group` count steps; a block lies within a group.
struct CodePanel {
  const uint8_t* codes;
  const float* scales;
  int64_t bits, steps, block, group;
  bool from_memory;       ///< codes come from memory, one panel after the other: ask for them early
  const uint8_t* next;    ///< what is read after this panel
};

/// One level.
struct CodeTable {
  /// One step of one row.
  void (*lay)(const int16_t* q, uint8_t* to);
  /// sums[r][lane] (rows of kCodeLanes) += the product of row r < m with the panel.
  /// Cost: 2·m·k·lanes operations, twice (high and low halves of q) where products are of bytes.
  void (*tile)(const CodeRows& rows, const CodePanel& panel, int64_t m, float* sums);
  /// Called by a worker after its last tile of a task: gives back what tile() keeps for the next. May be null.
  void (*rest)();
  /// A byte for each code of 4 bits, [steps][kCodeBytes]; the offset stays.
  void (*expand)(const uint8_t* from, int64_t steps, uint8_t* to);
};

extern const CodeTable codes_ref, codes_avx2, codes_avx512_vnni, codes_amx;

}  // namespace gw::kernels
