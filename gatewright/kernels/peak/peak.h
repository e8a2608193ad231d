#pragma once
// What the processor can do at most: loops of one instruction over registers, and a read of memory. The roofs
// of every benchmark.
#include <cstdint>

namespace gw::kernels {

/// Each runs `turns` turns and returns the operations done (a multiply and an add are two), or is null where
/// the instruction is missing.
/// read: xor of all of `bytes` (a multiple of 256) bytes.
struct PeakTable {
  int64_t (*f32)(int64_t turns) = nullptr;
  int64_t (*f32_fed)(int64_t turns) =
      nullptr;  ///< every second multiply-add takes a factor from the first-level cache
  int64_t (*bf16)(int64_t turns) = nullptr;
  int64_t (*int8)(int64_t turns) = nullptr;  ///< what codes of 8 bits are multiplied with: dot products of
                                             ///< bytes, or pairs of 16 bits and an addition
  int64_t (*int4)(int64_t turns) =
      nullptr;  ///< codes of 4 bits, where they have a faster sequence; null: as int8
  uint64_t (*read)(const void* from, int64_t bytes) = nullptr;
};

int64_t peak_f32_ref(int64_t turns);
uint64_t peak_read_ref(const void* from, int64_t bytes);
int64_t peak_f32_avx2(int64_t turns);
int64_t peak_f32_avx512(int64_t turns);
int64_t peak_f32_fed_avx2(int64_t turns);
int64_t peak_f32_fed_avx512(int64_t turns);
uint64_t peak_read_avx512(const void* from, int64_t bytes);
int64_t peak_bf16_avx512(int64_t turns);
int64_t peak_int8_avx512(int64_t turns);
int64_t peak_int8_avx2(int64_t turns);
int64_t peak_int4_avx2(int64_t turns);

/// The best of this processor, matrix units (AMX) apart; of a family that is forced to a lower level, what
/// that level's instructions reach.
PeakTable peak_table();

}  // namespace gw::kernels
