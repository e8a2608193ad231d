// AVX2. Values of 8 bits are built from their bits: a gather from a table takes as long as eight loads. Those
// of 4 bits are looked up within a register.
#include "gatewright/kernels/codes/codes.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include <cstring>

namespace gw::kernels {
namespace {

// Eight codes, one in each 32 bits. An exponent of e means 2^(e - 7), in f32 e + 120 means the same; of 0,
// the fraction counts in steps of 2^-9.
inline __m256 e4m3(__m256i code) {
  const __m256i size = _mm256_and_si256(code, _mm256_set1_epi32(127));
  const __m256 usual =
      _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(size, 20), _mm256_set1_epi32(120 << 23)));
  const __m256 small = _mm256_mul_ps(_mm256_cvtepi32_ps(size), _mm256_set1_ps(0x1p-9f));
  const __m256 is_small = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(8), size));
  const __m256 is_nan = _mm256_castsi256_ps(_mm256_cmpeq_epi32(size, _mm256_set1_epi32(127)));
  const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
  const __m256 value = _mm256_blendv_ps(_mm256_blendv_ps(usual, small, is_small), nan, is_nan);
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(128)), 24);
  return _mm256_or_ps(value, _mm256_castsi256_ps(sign));
}

inline __m256 eight_of_fp8(const uint8_t* codes, __m256 scale) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
  return _mm256_mul_ps(e4m3(_mm256_cvtepu8_epi32(bytes)), scale);
}

void fp8(const uint8_t* codes, int64_t n, float scale, float* to) {
  const __m256 factor = _mm256_set1_ps(scale);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, eight_of_fp8(codes + i, factor));
  if (i == n) return;
  uint8_t rest[8] = {};
  float values[8];
  std::memcpy(rest, codes + i, static_cast<size_t>(n - i));
  _mm256_storeu_ps(values, eight_of_fp8(rest, factor));
  std::memcpy(to + i, values, static_cast<size_t>(n - i) * sizeof(float));
}

// 2^(exponent - 127); of 0, that is below what f32 writes with a leading one.
inline __m256 power(uint8_t exponent) {
  const uint32_t bits = exponent == 0 ? 1u << 22 : static_cast<uint32_t>(exponent) << 23;
  return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int32_t>(bits)));
}

inline __m256 eight_of_mxfp4(__m128i codes, __m256 scale) {
  const __m256i code = _mm256_cvtepu8_epi32(codes);
  const __m256 size = _mm256_permutevar8x32_ps(_mm256_setr_ps(0, .5f, 1, 1.5f, 2, 3, 4, 6), code);
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(8)), 28);
  return _mm256_mul_ps(_mm256_or_ps(size, _mm256_castsi256_ps(sign)), scale);
}

void mxfp4(const uint8_t* codes, const uint8_t* exponents, int64_t groups, float* to) {
  const __m128i half = _mm_set1_epi8(15);
  for (int64_t g = 0; g < groups; ++g, codes += kMxfp4Bytes, to += kMxfp4Group) {
    const __m256 scale = power(exponents[g]);
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
    const __m128i low = _mm_and_si128(both, half), high = _mm_and_si128(_mm_srli_epi16(both, 4), half);
    const __m128i first = _mm_unpacklo_epi8(low, high), second = _mm_unpackhi_epi8(low, high);
    _mm256_storeu_ps(to, eight_of_mxfp4(first, scale));
    _mm256_storeu_ps(to + 8, eight_of_mxfp4(_mm_srli_si128(first, 8), scale));
    _mm256_storeu_ps(to + 16, eight_of_mxfp4(second, scale));
    _mm256_storeu_ps(to + 24, eight_of_mxfp4(_mm_srli_si128(second, 8), scale));
  }
}

inline __m128i eight_bf16(const float* from) {
  const __m256 value = _mm256_loadu_ps(from);
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  nearest = _mm256_srli_epi32(nearest, 16);
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  nearest = _mm256_blendv_epi8(nearest, _mm256_set1_epi32(0x7fc0), is_nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(nearest), _mm256_extracti128_si256(nearest, 1));
}

void narrow(const float* from, int64_t n, Bf16* to) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), eight_bf16(from + i));
  if (i == n) return;
  float rest[8] = {};
  std::memcpy(rest, from + i, static_cast<size_t>(n - i) * sizeof(float));
  Bf16 values[8];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(values), eight_bf16(rest));
  std::memcpy(to + i, values, static_cast<size_t>(n - i) * sizeof(Bf16));
}

}  // namespace

const CodesTable codes_avx2{fp8, mxfp4, narrow};

}  // namespace gw::kernels
#endif
