// AArch64 without dot products: codes are sorted by their k and widened to 16 bits, and each k of a row is
// multiplied with 16 lanes of them (SMLAL by element).
#include "gatewright/kernels/qgemm/qgemm.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/qgemm/neon.inl"

void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  if (bytes == 2) {
    std::memcpy(to, q, 2 * kQgemmStep);
  } else {
    for (int64_t k = 0; k < kQgemmStep; ++k) to[k] = static_cast<uint8_t>(q[k]);
  }
}

struct Words {
  template <int64_t kBytes>
  static constexpr int64_t kMost = 4;
  template <int64_t kBytes, int64_t M>
  struct Sums {
    int32x4_t of[M][4];
  };

  /// Four k of a row in 16 bits.
  template <int64_t kBytes>
  static int16x4_t four_of(const uint8_t* from) {
    if constexpr (kBytes == 2) {
      return vreinterpret_s16_u8(vld1_u8(from));
    } else {
      uint32_t four;
      std::memcpy(&four, from, 4);
      return vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))));
    }
  }

  template <int k, int64_t M>
  static void add_k(uint8x16_t codes, const int16x4_t (&q)[M], int32x4_t (&to)[M][4]) {
    const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes))),
                    high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(codes)));
#pragma GCC unroll 4
    for (int64_t r = 0; r < M; ++r) {
      to[r][0] = vmlal_lane_s16(to[r][0], vget_low_s16(low), q[r], k);
      to[r][1] = vmlal_lane_s16(to[r][1], vget_high_s16(low), q[r], k);
      to[r][2] = vmlal_lane_s16(to[r][2], vget_low_s16(high), q[r], k);
      to[r][3] = vmlal_lane_s16(to[r][3], vget_high_s16(high), q[r], k);
    }
  }

  template <int64_t kBytes, int64_t kBits, int64_t M>
  static void add(const uint8_t* row, const uint8_t* codes, int64_t half, Sums<kBytes, M>& sums) {
    for (int64_t quad = 0; quad < 16; ++quad, row += 4 * kBytes, codes += 16 * kBits) {
      const uint8x16x4_t by_k = vld4q_u8(half_of<kBits>(codes, half));
      int16x4_t q[M];
#pragma GCC unroll 4
      for (int64_t r = 0; r < M; ++r) q[r] = four_of<kBytes>(row + r * kBytes * kQgemmStep);
      add_k<0>(code_bytes<kBits>(by_k.val[0], half), q, sums.of);
      add_k<1>(code_bytes<kBits>(by_k.val[1], half), q, sums.of);
      add_k<2>(code_bytes<kBits>(by_k.val[2], half), q, sums.of);
      add_k<3>(code_bytes<kBits>(by_k.val[3], half), q, sums.of);
    }
  }

  template <int64_t kBytes, int64_t M>
  static int32x4_t value(const Sums<kBytes, M>& sums, int64_t r, int64_t v) {
    return sums.of[r][v];
  }
  template <int64_t kBytes>
  static int32_t total(int32_t whole) {
    return whole;
  }
};

}  // namespace

const QgemmTable qgemm_neon{pack_row, tile_of<Words>, nullptr, expand};

}  // namespace gw::kernels
#endif
