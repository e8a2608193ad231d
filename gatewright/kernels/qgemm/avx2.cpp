// AVX2: codes are widened to 16 bits and multiplied with q in pairs. A row at a time: eight sums of [4
// lanes][2 pairs] stay in registers.
#include "gatewright/kernels/qgemm/qgemm.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

void pack_row(const int16_t* q, int64_t bytes, uint8_t* to) {
  if (bytes == 2) {
    std::memcpy(to, q, 2 * kQgemmStep);
  } else {
    for (int64_t k = 0; k < kQgemmStep; ++k) to[k] = static_cast<uint8_t>(q[k]);
  }
}

void expand(const uint8_t* from, int64_t steps, uint8_t* to) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int64_t i = 0; i < steps * kQgemmStepBytes / 2; i += 32) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
    uint8_t* both = to + i / 64 * 128 + i % 64;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(both), _mm256_and_si256(v, low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(both + 64), high);
  }
}

inline __m256i widened(const uint8_t* codes) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
}

// Four values, four times.
inline __m256i four_of(const uint8_t* row, int64_t bytes) {
  if (bytes == 1) {
    int32_t four;
    std::memcpy(&four, row, 4);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
  }
  int64_t four;
  std::memcpy(&four, row, 8);
  return _mm256_set1_epi64x(four);
}

// The sums of 16 lanes: four vectors of four lanes.
void add_half(const uint8_t* row, int64_t bytes, const uint8_t* codes, __m256i (&sums)[4]) {
  for (int64_t quad = 0; quad < 16; ++quad, codes += 128) {
    const __m256i q = four_of(row + quad * 4 * bytes, bytes);
    for (int64_t i = 0; i < 4; ++i)
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(widened(codes + i * 16), q));
  }
}

// Pairs become lanes; then into the sums of the row.
void finish(const __m256i (&accumulators)[4], int32_t total, float by, const float* scale, float* sums) {
  for (int64_t i = 0; i < 4; i += 2) {
    const __m256i mixed = _mm256_hadd_epi32(accumulators[i], accumulators[i + 1]);  // lanes 0 1 4 5 2 3 6 7
    const __m256i exact = _mm256_sub_epi32(_mm256_permute4x64_epi64(mixed, 0xd8), _mm256_set1_epi32(total));
    const __m256 lanes = _mm256_cvtepi32_ps(exact);
    float* to = sums + i * 4;
    _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_mul_ps(lanes, _mm256_set1_ps(by)),
                                         _mm256_loadu_ps(scale + i * 4), _mm256_loadu_ps(to)));
  }
}

void tile(const QuantisedRows& rows, const QuantisedPanel& p, int64_t m, float* sums) {
  uint8_t expanded[kQgemmStepBytes];
  for (int64_t first = 0, block = 0; first < p.steps; first += p.block, ++block) {
    const float* scale = p.scales + first / p.group * kQgemmLanes;
    for (int64_t r = 0; r < m; ++r) {
      __m256i accumulators[2][4];
      for (auto& half : accumulators) {
        for (auto& v : half) v = _mm256_setzero_si256();
      }
      for (int64_t s = first; s < first + p.block && s < p.steps; ++s) {
        const uint8_t* codes = p.codes + s * kQgemmStepBytes * p.bits / 8;
        if (p.bits == 4) expand(codes, 1, expanded), codes = expanded;
        const uint8_t* row = rows.data + s * kRowStep + r * rows.bytes * kQgemmStep;
        for (int64_t half = 0; half < 2; ++half)
          add_half(row, rows.bytes, codes + half * 64, accumulators[half]);
      }
      const int64_t at = block * kPanelBytes / rows.bytes + r;
      for (int64_t half = 0; half < 2; ++half)
        finish(accumulators[half], rows.totals[at], rows.scales[at], scale + half * 16,
               sums + r * kQgemmLanes + half * 16);
    }
  }
}

}  // namespace

const QgemmTable qgemm_avx2{pack_row, tile, nullptr, expand};

}  // namespace gw::kernels
#endif
