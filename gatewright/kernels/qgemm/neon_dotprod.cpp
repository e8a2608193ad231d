// AArch64 with dot products: SDOT adds four products of signed bytes to a lane. Codes of 8 bits get their
// sign back by one instruction, and then nothing is owed for the offset; rows of two bytes are two dot
// products.
#include "gatewright/kernels/qgemm/qgemm.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

#include <cstring>

namespace gw::kernels {
namespace {

#include "gatewright/kernels/qgemm/neon.inl"

// 64 k as high bytes, then low bytes, all with a sign; of rows of one byte, those.
void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  for (int64_t k = 0; k < kQgemmStep; ++k) {
    const int8_t low = static_cast<int8_t>(q[k] & 255);
    to[k + (bytes - 1) * kQgemmStep] = static_cast<uint8_t>(low);
    if (bytes == 2) to[k] = static_cast<uint8_t>((q[k] - low) >> 8);
  }
}

struct Dots {
  template <int64_t kBytes>
  static constexpr int64_t kMost = 4 / kBytes;
  template <int64_t kBytes, int64_t M>
  struct Sums {
    int32x4_t of[kBytes][M][4];
  };

  template <int64_t kBytes, int64_t kBits, int64_t M>
  static void add(const uint8_t* row, const uint8_t* codes, int64_t half, Sums<kBytes, M>& sums) {
    for (int64_t quad = 0; quad < 16; ++quad, row += 4, codes += 16 * kBits) {
      const uint8x16x4_t stored = vld1q_u8_x4(half_of<kBits>(codes, half));
      int8x16_t c[4];
#pragma GCC unroll 4
      for (int64_t v = 0; v < 4; ++v) {
        const uint8x16_t bytes = code_bytes<kBits>(stored.val[v], half);
        c[v] = vreinterpretq_s8_u8(kBytes == 2 ? veorq_u8(bytes, vdupq_n_u8(128)) : bytes);
      }
#pragma GCC unroll 4
      for (int64_t r = 0; r < M; ++r) {
#pragma GCC unroll 2
        for (int64_t byte = 0; byte < kBytes; ++byte) {
          uint32_t four;
          std::memcpy(&four, row + (r * kBytes + byte) * kQgemmStep, 4);
          const int8x16_t q = vreinterpretq_s8_u32(vdupq_n_u32(four));
#pragma GCC unroll 4
          for (int64_t v = 0; v < 4; ++v) sums.of[byte][r][v] = vdotq_s32(sums.of[byte][r][v], c[v], q);
        }
      }
    }
  }

  template <int64_t kBytes, int64_t M>
  static int32x4_t value(const Sums<kBytes, M>& sums, int64_t r, int64_t v) {
    if constexpr (kBytes == 2) {
      return vaddq_s32(vshlq_n_s32(sums.of[0][r][v], 8), sums.of[1][r][v]);
    } else {
      return sums.of[0][r][v];
    }
  }
  template <int64_t kBytes>
  static int32_t total(int32_t whole) {
    return kBytes == 2 ? 0 : whole;
  }
};

}  // namespace

const QgemmTable qgemm_neon_dotprod{pack_row, tile_of<Dots>, nullptr, expand};

}  // namespace gw::kernels
#endif
