#pragma once
// Products of rows in fixed point with weights of 8 or 4 bits, in integer arithmetic.
// Math:   a row is cut into blocks of k; in a block x ≈ q·s with |q| ≤ most and s = max|x| / most, most =
//         32639 for two bytes a value, 127 for one. Σ q·code is exact in 32 bits (at most 512 terms of
//         32639·127), so every level and every cut gives the same bits; then sum ← fma(float(Σ)·s, scale,
//         sum), block after block.
//         Codes are stored without sign, u = code + offset (128 or 8), and q = 256·high + low in signed bytes
//         (or low alone): instructions multiply bytes without sign by bytes with one. Σ q·code = 256·Σ high·u
//         + Σ low·u - offset·Σ q; partial sums may wrap modulo 2^32, the total is exact.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

inline constexpr int64_t kQgemmLanes = 32;                            ///< outputs in a panel of codes
inline constexpr int64_t kQgemmStep = 64;                             ///< k that are stored together
inline constexpr int64_t kQgemmStepBytes = kQgemmStep * kQgemmLanes;  ///< of a step of a panel with 8 bits

/// Bytes per value of a row. With weights of 4 bits (RMS error about 0.1 of the weights' standard deviation)
/// one byte is enough: its own error of 0.006 standard deviations does not show. Weights of 8 bits have that
/// error themselves, so their rows take two bytes.
inline constexpr int64_t kBytesForBits8 = 2, kBytesForBits4 = 1;
inline constexpr int64_t kPanelBytes =
    32;  ///< rows in a panel of rows times their bytes: four tiles of sums of the matrix unit
inline constexpr int64_t kRowStep = kPanelBytes * kQgemmStep;  ///< bytes of a step of a panel of rows
inline constexpr float kMostQ[3] = {
    0, 127, 32639};  ///< by bytes; 32639 = 127·256 + 127: both bytes have a sign and fit
/// Steps of a block, by bytes. Two: 512·127·32639 < 2^31. One: a value 30 times the others' deviation leaves
/// its neighbours an error of 7 % of it, so few.
inline constexpr int64_t kMostBlock[3] = {0, 2, 8};

/// Rows of one byte go with codes of 4 bits (expanded or not), of two bytes with codes of 8: sums of bytes by
/// bytes may rely on codes below 16. Rows as the level lays them out: data [steps][rows of a
/// panel][bytes][kQgemmStep], scales and totals (offset·Σ q) [blocks][rows of a panel].
struct QuantisedRows {
  int64_t bytes;  ///< of a value
  const uint8_t* data;
  const float* scales;
  const int32_t* totals;
};

/// One panel: codes [steps][16][2 halves][16 lanes][4 k], plus offset; of 4 bits, half 0 in the low and half
/// 1 in the high halves of 64 bytes.
/// scales [groups][kQgemmLanes]. `block` and `group` count steps; a block lies within a group.
struct QuantisedPanel {
  const uint8_t* codes;
  const float* scales;
  int64_t bits, steps, block, group;
  bool from_memory;         ///< codes come from memory, one panel after the other: ask for them early
  const uint8_t* next;      ///< what is read after this panel
  const uint8_t* prefetch;  ///< where codes do not come from memory: what will later; `ask` bytes of it are
                            ///< asked for in every step, a multiple of 256
  int64_t prefetch_bytes;
};

/// One level.
struct QgemmTable {
  /// One step of one row.
  void (*pack_row)(const int16_t* q, int64_t bytes, uint8_t* to);
  /// sums[r][lane] (rows of kQgemmLanes) += the product of row r < m with the panel.
  /// Cost: 2·m·k·lanes operations, twice for rows of two bytes where products are of bytes.
  void (*tile)(const QuantisedRows& rows, const QuantisedPanel& panel, int64_t m, float* sums);
  /// Called by a worker after its last tile of a task: gives back what tile() keeps for the next. May be
  /// null.
  void (*release_tiles)();
  /// A byte for each code of 4 bits, [steps][kQgemmStepBytes]; the offset stays.
  void (*expand)(const uint8_t* from, int64_t steps, uint8_t* to);
};

extern const QgemmTable qgemm_ref, qgemm_avx2, qgemm_avx512_vnni, qgemm_amx, qgemm_neon, qgemm_neon_dotprod;

}  // namespace gw::kernels
